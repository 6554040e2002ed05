"""Anthropic's Python client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic import Anthropic
from anthropic.types import MessageParam

from tests.clients.telling import BEGINNING, SECRET, TEXT, asked, assert_cancelled, assert_goes_on
from tests.servers.observer import Observer

PROMPT: list[MessageParam] = [{"role": "user", "content": "hi"}]
EVENTS = [
    "message_start",
    "content_block_start",
    *["content_block_delta"] * 3,
    "content_block_stop",
    "message_delta",
    "message_stop",
]


@pytest.fixture
def client(observer: Observer) -> Iterator[Anthropic]:
    with Anthropic(base_url=observer.server.url, api_key="none", max_retries=0) as client:
        yield client


def ask(client: Anthropic, observer: Observer, story: str) -> anthropic.Stream[Any]:
    headers = asked(observer, story)
    return client.messages.create(
        model="m", max_tokens=9, messages=PROMPT, stream=True, extra_headers=headers
    )


def read_into(events: list[Any], stream: anthropic.Stream[Any]) -> None:
    """Read all of `stream`; what came before an error is in `events`."""
    for event in stream:
        events.append(event)  # noqa: PERF402 - a list of it all would lose them


def text_of(event: Any) -> str:
    return event.delta.text if event.type == "content_block_delta" else ""


def test_ids_heartbeats_and_a_retry_disturb_nothing(client: Anthropic, observer: Observer) -> None:
    events = list(ask(client, observer, "whole"))
    assert [event.type for event in events] == EVENTS
    assert "".join(map(text_of, events)) == TEXT


def test_the_helper_puts_the_message_together(client: Anthropic, observer: Observer) -> None:
    headers = asked(observer, "whole")
    with client.messages.stream(model="m", max_tokens=9, messages=PROMPT, extra_headers=headers) as stream:
        assert "".join(stream.text_stream) == TEXT
        assert stream.get_final_message().stop_reason == "end_turn"


@pytest.mark.parametrize(
    ("story", "error"),
    [
        ("fails", {"type": "api_error", "message": "The stream failed.", "code": "internal_error"}),
        ("tells", {"type": "rate_limit_error", "message": "No words are left.", "code": "quota_exceeded"}),
    ],
)
def test_an_error_in_mid_stream_is_raised_with_its_code(
    client: Anthropic, observer: Observer, story: str, error: dict[str, str]
) -> None:
    events: list[Any] = []
    with pytest.raises(anthropic.APIStatusError) as raised:
        read_into(events, ask(client, observer, story))
    body: Any = raised.value.body
    assert "".join(map(text_of, events)) == BEGINNING
    assert body["error"] == error
    assert body["request_id"]
    assert SECRET not in str(raised.value)


def test_a_failure_that_cannot_be_told_is_raised(client: Anthropic, observer: Observer) -> None:
    events: list[Any] = []
    with pytest.raises(httpx2.RemoteProtocolError):
        read_into(events, ask(client, observer, "fails-torn"))
    assert "".join(map(text_of, events)) == BEGINNING


def test_an_error_before_the_first_word_has_its_status(client: Anthropic, observer: Observer) -> None:
    with pytest.raises(anthropic.RateLimitError) as raised:
        ask(client, observer, "refuses")
    assert raised.value.status_code == 429


def test_leaving_its_block_cancels_the_source(client: Anthropic, observer: Observer) -> None:
    with ask(client, observer, "endless") as stream:
        next(iter(stream))
    assert_cancelled(observer)


def test_closing_the_stream_cancels_the_source(client: Anthropic, observer: Observer) -> None:
    stream = ask(client, observer, "endless")
    next(stream)
    stream.close()
    assert_cancelled(observer)


def test_forgetting_the_stream_cancels_the_source(client: Anthropic, observer: Observer) -> None:
    for _ in ask(client, observer, "endless"):
        break
    assert_cancelled(observer)


def test_a_break_alone_does_not_leave(client: Anthropic, observer: Observer) -> None:
    stream = ask(client, observer, "endless")
    for _ in stream:
        break
    assert_goes_on(observer)
    client.close()
    assert_cancelled(observer)
