"""The page in a real browser, against the demo as a real process.

One demo and one browser for the whole file. While Playwright's loop runs in this thread, a test waits by way
of the page, never by blocking calls of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests.demo.running import PATIENCE, Demo

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
]
QUIET += ["--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def shared_demo() -> Iterator[Demo]:
    with Demo.started() as running:
        yield running


@pytest.fixture(scope="module")
def browser(shared_demo: Demo, chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def errors() -> list[str]:
    """What the page's scripts raised."""
    return []


@pytest.fixture
def page(shared_demo: Demo, browser: Browser, errors: list[str]) -> Iterator[Page]:
    """The page, connected, with the endings that were there before it."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE * 1000)
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(shared_demo.url)
    expect(page.locator("#link")).to_have_text("connected")
    yield page
    context.close()
    assert errors == []


def start(page: Page, card: str) -> None:
    """Start a card's stream, and wait until it shows its first chunk."""
    page.locator(f"#{card} .start").click()
    expect(page.locator(f"#{card} .count")).not_to_have_text("0", timeout=PATIENCE * 1000)


def verdict(page: Page, card: str) -> Locator:
    """What the server says of this card's last stream."""
    return page.locator(f"#{card} .verdict .chip")


def test_leaving_a_chat_stops_the_work_and_closes_its_upstream(page: Page) -> None:
    start(page, "chat")
    page.locator("#chat .leave").click()
    expect(verdict(page, "chat")).to_have_text("client gone")
    ending = page.locator("#endings > li", has_text="Chat").first
    for moment in ("stopped", "upstream", "cleaned"):
        expect(ending.locator(f".moments .{moment} dd")).to_contain_text("ms")
    expect(ending.locator(".moments .upstream dt")).to_have_text("upstream closed")
    expect(ending.locator(".since")).to_have_text("after you left, by the browser's clock")


def test_the_export_arrives_whole(page: Page) -> None:
    page.locator("#speed").select_option("Infinity")
    start(page, "export")
    expect(page.locator("#export .status")).to_have_text("complete", timeout=PATIENCE * 1000)
    expect(verdict(page, "export")).to_have_text("completed")
    assert page.locator("#export progress").evaluate("bar => bar.value === bar.max")
    assert page.locator("#export tbody tr").count() == 5


def test_the_feed_draws_its_lines(page: Page) -> None:
    start(page, "feed")
    expect(page.locator("#feed .cpu output")).to_contain_text("%")
    expect(page.locator("#feed .cpu .line")).to_have_attribute("d", re.compile(r"^M\d"))
    page.locator("#feed .leave").click()
    expect(verdict(page, "feed")).to_have_text("client gone")


def test_a_reader_that_stops_reading_stays_and_may_go_on(page: Page) -> None:
    start(page, "chat")
    page.locator("#chat .pause").click()
    expect(page.locator("#chat .status")).to_have_text("connected, not reading")
    expect(page.locator("#live tr", has_text="Chat")).to_have_count(1)
    shown = page.locator("#chat .count").inner_text()
    page.locator("#chat .pause").click()
    expect(page.locator("#chat .count")).not_to_have_text(shown)
    page.locator("#chat .leave").click()
    expect(verdict(page, "chat")).to_have_text("client gone")


def test_the_server_can_stop_a_stream_and_the_reader_is_told(page: Page) -> None:
    start(page, "chat")
    page.locator("#live tr", has_text="Chat").get_by_role("button").click()
    expect(verdict(page, "chat")).to_have_text("stopped")
    assert page.locator("#chat").get_attribute("data-phase") == "cut"


def test_closing_the_tab_ends_its_streams(shared_demo: Demo, page: Page) -> None:
    other = page.context.new_page()
    other.goto(shared_demo.url)
    start(other, "feed")
    expect(page.locator("#live tr", has_text="Feed")).to_have_count(1)
    other.close()
    expect(page.locator("#live tr", has_text="Feed")).to_have_count(0)


@pytest.mark.parametrize("width", [360, 390, 720, 1280])
def test_nothing_sticks_out_sideways(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    start(page, "chat")
    page.locator("#chat .leave").click()
    expect(verdict(page, "chat")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_every_control_has_a_name(page: Page) -> None:
    for control in page.locator("button, input, select, progress").all():
        expect(control).not_to_have_accessible_name("")


def test_the_page_asks_nothing_of_anybody_else(shared_demo: Demo, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    expect(page.locator("#link")).to_have_text("connected")
    assert asked
    assert all(url.startswith(shared_demo.url) for url in asked)
