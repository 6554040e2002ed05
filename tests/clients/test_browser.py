"""EventSource and `@microsoft/fetch-event-source` in Chromium."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, sync_playwright

from tests.clients.telling import SECRET, assert_cancelled
from tests.demo.test_page import QUIET
from tests.servers.observer import Observer
from tests.servers.servers import Server

pytestmark = pytest.mark.timeout(300)  # for the first installation of the npm package
LIBRARY = "node_modules/@microsoft/fetch-event-source/lib/esm"

LISTEN = """address => {
  const source = (window.source = new EventSource(address));
  window.seen = [];
  window.opened = 0;
  source.onopen = () => window.opened++;
  for (const type of ["message", "error", "end"]) {
    source.addEventListener(type, event => seen.push({
      type, data: event.data ?? null, id: event.lastEventId ?? null, state: source.readyState,
    }));
  }
}"""
FETCH = """async ([story, tag]) => {
  const { fetchEventSource } = await import("/library/index.js");
  const leaving = new AbortController();
  const saw = { messages: [], errors: [], closed: 0 };
  await fetchEventSource(`/events?story=${story}&tag=${tag}`, {
    signal: leaving.signal,
    onmessage(message) {
      saw.messages.push(message);
      if (story === "endless") leaving.abort();
    },
    onclose() { saw.closed++; },
    onerror(error) { saw.errors.push(String(error)); throw error; },
  }).catch(() => {});
  return saw;
}"""


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    context.set_default_timeout(20_000)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, server: Server) -> Page:
    page = context.new_page()
    page.goto(server.url + "/page")
    return page


def listen(page: Page, observer: Observer, story: str) -> None:
    page.evaluate(LISTEN, f"/events?story={story}&tag={observer.tag}")
    page.wait_for_function("seen.length > 0")


def seen_until(page: Page, condition: str) -> list[dict[str, Any]]:
    """What the page's listeners saw until `condition` holds in it."""
    page.wait_for_function(condition)
    seen: list[dict[str, Any]] = page.evaluate("seen")
    return seen


# -- EventSource ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leave", ["source.close()", "location.assign('about:blank')"])
def test_leaving_cancels_the_source(page: Page, observer: Observer, leave: str) -> None:
    listen(page, observer, "endless")
    page.evaluate(leave)
    assert_cancelled(observer)


def test_closing_the_tab_cancels_the_source(page: Page, observer: Observer) -> None:
    listen(page, observer, "endless")
    page.close()
    assert_cancelled(observer)


def test_heartbeats_and_a_retry_are_no_messages_and_ids_come_with_theirs(
    page: Page, observer: Observer
) -> None:
    listen(page, observer, "whole")
    messages = [event for event in seen_until(page, "seen.length > 3") if event["type"] == "message"]
    page.evaluate("source.close()")
    assert [(json.loads(event["data"])["text"], event["id"]) for event in messages[:3]] == [
        ("one ", "0"),
        ("two ", "1"),
        ("three", "2"),
    ]


def test_it_comes_back_after_an_end_that_nothing_marks(page: Page, observer: Observer) -> None:
    listen(page, observer, "whole")
    seen_until(page, "opened > 1")
    page.evaluate("source.close()")
    observer.wait_started(2)


@pytest.mark.parametrize(("story", "words"), [("fails-torn", 2), ("busy", 0)])
def test_it_comes_back_after_a_cut_and_to_a_busy_server(
    page: Page, observer: Observer, story: str, words: int
) -> None:
    listen(page, observer, story)
    seen = seen_until(page, "opened > 1")
    page.evaluate("source.close()")
    assert [event["type"] for event in seen][: words + 1] == [*["message"] * words, "error"]
    assert seen[words]["data"] is None


@pytest.mark.parametrize(("story", "last"), [("plain-resumed", "end"), ("fails-resumed", "error")])
def test_it_does_not_come_back_after_one_that_is_marked(
    page: Page, observer: Observer, story: str, last: str
) -> None:
    listen(page, observer, story)
    seen = seen_until(page, "source.readyState === EventSource.CLOSED")
    with_data = [event for event in seen if event["data"] is not None]
    assert (with_data[-1]["type"], with_data[-1]["id"][-4:]) == (last, "-end")
    assert (page.evaluate("opened"), len(observer.records())) == (1, 1)


def test_an_error_in_mid_stream_is_told_to_its_listener(page: Page, observer: Observer) -> None:
    listen(page, observer, "fails-resumed")
    seen = seen_until(page, "seen.some(event => event.type === 'error')")
    error = next(event for event in seen if event["type"] == "error")
    said = json.loads(error["data"])
    assert (said["code"], said["message"]) == ("internal_error", "The stream failed.")
    assert SECRET not in error["data"]


# -- fetch-event-source --------------------------------------------------------------------------------------


@pytest.fixture
def library(context: BrowserContext, packages: Path) -> None:
    """Serve the package's modules to the page."""

    def fulfil(route: Route) -> None:
        name = route.request.url.rpartition("/")[2]
        file = packages / LIBRARY / (name if name.endswith(".js") else f"{name}.js")
        route.fulfill(body=file.read_text(), content_type="text/javascript")

    context.route("**/library/*", fulfil)


@pytest.mark.usefixtures("library")
def test_fetch_event_source_is_not_disturbed_by_ids_heartbeats_and_a_retry(
    page: Page, observer: Observer
) -> None:
    saw = page.evaluate(FETCH, ["whole", observer.tag])
    said = [(json.loads(message["data"])["text"], message["id"]) for message in saw["messages"]]
    assert said == [("one ", "0"), ("two ", "1"), ("three", "2")]
    assert (saw["errors"], saw["closed"]) == ([], 1)


@pytest.mark.usefixtures("library")
def test_fetch_event_source_hands_an_error_in_mid_stream_on_as_such(page: Page, observer: Observer) -> None:
    *words, last = page.evaluate(FETCH, ["fails", observer.tag])["messages"]
    assert [word["event"] for word in words] == ["", ""]
    assert (last["event"], json.loads(last["data"])["code"]) == ("error", "internal_error")


@pytest.mark.usefixtures("library")
def test_fetch_event_source_reports_an_error_before_the_first_word(page: Page, observer: Observer) -> None:
    assert page.evaluate(FETCH, ["refuses", observer.tag])["errors"]


@pytest.mark.usefixtures("library")
def test_fetch_event_source_reports_a_failure_that_cannot_be_told(page: Page, observer: Observer) -> None:
    saw = page.evaluate(FETCH, ["fails-torn", observer.tag])
    assert (len(saw["messages"]), len(saw["errors"]), saw["closed"]) == (2, 1, 0)


@pytest.mark.usefixtures("library")
def test_fetch_event_source_leaves_by_its_signal(page: Page, observer: Observer) -> None:
    page.evaluate(FETCH, ["endless", observer.tag])
    assert_cancelled(observer)
