"""The page with the stop button, as the documentation shows it, in Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.demo.test_page import QUIET
from tests.servers.servers import CONFIGS, running

PATIENCE = 20_000
"""Milliseconds for what takes some on a busy machine."""


@pytest.fixture
def page(chromium: str, tmp_path: Path) -> Iterator[Page]:
    with (
        running(CONFIGS[0], "docs.snippets.stopping:app", tmp_path / "log") as server,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=QUIET) as browser,
    ):
        page = browser.new_page()
        page.goto(server.url)
        yield page


def test_a_click_stops_the_story_and_the_page_says_so(page: Page) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.locator("#start").click()
    expect(page.locator("#story")).to_contain_text("once upon", timeout=PATIENCE)
    page.locator("#stop").click()
    expect(page.locator("#story")).to_contain_text("(The stream was stopped.)", timeout=PATIENCE)
    expect(page.locator("#stop")).to_be_disabled()
    assert errors == []
