"""OpenAI's Python client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.clients.families import WORDS
from tests.clients.telling import BEGINNING, SECRET, asked, assert_cancelled, assert_goes_on
from tests.servers.observer import Observer


class Asker:
    """A client of one of the two APIs, and how its events are read."""

    def __init__(self, client: OpenAI, observer: Observer, api: str) -> None:
        self.client = client
        self._observer = observer
        self._api = api

    def ask(self, story: str) -> Any:
        """The stream of a story."""
        headers = asked(self._observer, story)
        if self._api == "responses":
            return self.client.responses.create(model="m", input="hi", stream=True, extra_headers=headers)
        return self.client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "hi"}], stream=True, extra_headers=headers
        )

    def word(self, event: Any) -> str:
        """What an event adds to the text; fails for what is no event of this API."""
        if self._api == "responses":
            assert event.type.startswith("response."), event
            return str(getattr(event, "delta", ""))
        return event.choices[0].delta.content or ""

    def read_into(self, words: list[str], story: str) -> None:
        """Read a whole story; what came before an error is in `words`."""
        for event in self.ask(story):
            words.append(self.word(event))  # noqa: PERF401 - a comprehension would lose them


@pytest.fixture(params=["chat", "responses"])
def asker(request: pytest.FixtureRequest, observer: Observer) -> Iterator[Asker]:
    with OpenAI(base_url=observer.server.url + "/v1", api_key="none", max_retries=0) as client:
        yield Asker(client, observer, request.param)


def test_ids_heartbeats_and_a_retry_disturb_nothing(asker: Asker) -> None:
    words: list[str] = []
    asker.read_into(words, "whole")
    assert words == ["", *WORDS, ""]


@pytest.mark.parametrize(
    ("story", "code", "message", "kind"),
    [
        ("fails", "internal_error", "The stream failed.", "server_error"),
        ("tells", "quota_exceeded", "No words are left.", "rate_limit_error"),
        ("fails-bytes", "internal_error", "The stream failed.", "server_error"),
    ],
)
def test_an_error_in_mid_stream_is_raised_with_its_code(
    asker: Asker, story: str, code: str, message: str, kind: str
) -> None:
    words: list[str] = []
    with pytest.raises(openai.APIError) as raised:
        asker.read_into(words, story)
    error: Any = raised.value
    assert "".join(words) == BEGINNING
    assert (error.message, error.code, error.type) == (message, code, kind)
    assert error.body["ref"]
    assert SECRET not in str(error.body)


def test_a_failure_that_cannot_be_told_is_raised(asker: Asker) -> None:
    words: list[str] = []
    with pytest.raises(openai.APIConnectionError):
        asker.read_into(words, "fails-torn")
    assert "".join(words) == BEGINNING


def test_an_error_before_the_first_word_has_its_status(asker: Asker) -> None:
    with pytest.raises(openai.RateLimitError) as raised:
        asker.ask("refuses")
    assert (raised.value.status_code, raised.value.code) == (429, "quota_exceeded")


def test_leaving_its_block_cancels_the_source(asker: Asker, observer: Observer) -> None:
    with asker.ask("endless") as stream:
        next(iter(stream))
    assert_cancelled(observer)


def test_closing_the_stream_cancels_the_source(asker: Asker, observer: Observer) -> None:
    stream = asker.ask("endless")
    next(stream)
    stream.close()
    assert_cancelled(observer)


def test_a_break_alone_does_not_leave(asker: Asker, observer: Observer) -> None:
    for _ in asker.ask("endless"):
        break
    # Not even when the stream is forgotten: it is in a cycle with its own generator.
    assert_goes_on(observer)
    asker.client.close()
    assert_cancelled(observer)


@pytest.mark.parametrize("closes", [True, False])
def test_a_cancelled_task_cancels_the_source(observer: Observer, closes: bool) -> None:
    async def read(first: asyncio.Event) -> None:
        base = observer.server.url + "/v1"
        async with AsyncOpenAI(base_url=base, api_key="none", max_retries=0) as client:
            stream = await client.chat.completions.create(
                model="m", messages=[], stream=True, extra_headers=asked(observer, "endless")
            )
            async for _ in stream:
                first.set()
                if closes:
                    await stream.close()
                    return

    async def leave() -> None:
        first = asyncio.Event()
        task = asyncio.create_task(read(first))
        await first.wait()
        if not closes:
            task.cancel()
        await asyncio.wait([task])

    asyncio.run(leave())
    assert_cancelled(observer)
