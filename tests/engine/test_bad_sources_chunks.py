"""What no format can carry never leaves, what was sent before it is whole, and what is only odd arrives."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from endwell import ByteStream, ChunkError, ChunkTypeError, Event, EventStream, NDJSONStream, Outcome
from endwell.engine import Registry
from tests.engine.scene import QUIET, Diary, Visit, turns
from tests.wire.whatwg import Decoder

Make = Callable[[], object]
HUGE = 64 * 1024 * 1024
FULL_OF_BYTES = 66_000
"""So many chunks of a byte wait for a client at most: the cork, and a little."""

REFUSED: list[tuple[type[Any], Make]] = [
    (EventStream, lambda: Event("data", event="a\nb")),
    (EventStream, lambda: Event("data", event="a\rb")),
    (EventStream, lambda: Event("data", event="a\0b")),
    (EventStream, lambda: Event("data", id="a\nb")),
    (EventStream, lambda: Event("data", id="a\rb")),
    (EventStream, lambda: Event("data", id="a\0b")),
    (EventStream, lambda: "half of a pair: \ud83d"),
    (EventStream, lambda: {"half of a pair": "\udc00"}),
    (EventStream, lambda: {"number": float("nan")}),
    (EventStream, lambda: [float("inf")]),
    (EventStream, lambda: {"when": Visit}),
    (EventStream, lambda: b"bytes"),
    (NDJSONStream, lambda: {"half of a pair": "\ud83d"}),
    (NDJSONStream, lambda: "half of a pair: \udc00"),
    (NDJSONStream, lambda: float("nan")),
    (NDJSONStream, lambda: [-float("inf")]),
    (NDJSONStream, object),
    (NDJSONStream, lambda: b"bytes"),
    (ByteStream, lambda: "half of a pair: \ud83d"),
    (ByteStream, lambda: 5),
    (ByteStream, lambda: None),
    (ByteStream, lambda: {"a": 1}),
    (ByteStream, lambda: ["a"]),
]


def _name(value: object) -> str:
    return value.__name__ if isinstance(value, type) else ""


def then(make: Make, *before: object, diary: Diary) -> AsyncIterator[object]:
    """Some good chunks, sent for sure; then the bad one; then one too many."""

    async def source() -> AsyncIterator[object]:
        try:
            for chunk in before:
                yield chunk
                await asyncio.sleep(1)
            yield make()
            diary("went on")
            yield "more"
        finally:
            diary("cleaned")

    return source()


@pytest.mark.parametrize(("response", "make"), REFUSED, ids=_name)
async def test_a_chunk_that_cannot_be_said_fails_the_stream_before_any_byte(
    response: type[Any], make: Make
) -> None:
    diary = Diary()
    visit = Visit(then(make, diary=diary), response)
    ending = await visit.ending()
    assert ending.outcome is Outcome.FAILED
    assert isinstance(ending.error, (ValueError, TypeError, ChunkError, ChunkTypeError))
    assert await visit.over() is ending.error  # so that the framework answers with a real HTTP error
    assert (visit.status, visit.body, diary.words) == (None, b"", ["cleaned"])


@pytest.mark.parametrize(("response", "make"), REFUSED, ids=_name)
async def test_a_chunk_that_cannot_be_said_leaves_what_was_said_before_it_whole(
    response: type[Any], make: Make
) -> None:
    diary = Diary()
    good = b"good" if response is ByteStream else "good"
    visit = Visit(then(make, good, good, diary=diary), response)
    ending = await visit.ending()
    assert (ending.outcome, ending.chunks, diary.words) == (Outcome.FAILED, 2, ["cleaned"])
    if response is ByteStream:
        assert (visit.body, visit.was_cut, visit.complete) == (b"goodgood", True, False)
        return
    assert visit.frames[0] == visit.frames[1]
    assert len(visit.frames) == 3
    assert visit.told()["code"] == "internal_error"


ODD = [
    "\u2028",
    "\u2029",
    "\u0085",
    "\v\f",
    " a leading space",
    "\ufeffa byte order mark",
    "\N{FAMILY}",
    "\U0010ffff",
    "\x1b[31m",
    "data: event: id:",
    ": a comment",
    "\0",
    "",
]


@pytest.mark.parametrize("text", ODD, ids=ascii)
async def test_text_that_is_odd_but_sayable_arrives_as_it_was(text: str) -> None:
    async def source() -> AsyncIterator[object]:
        yield text
        await asyncio.sleep(1)
        yield {"in": text}
        yield Event(text, event="odd")

    decoder = Decoder()
    events = Visit(source())
    assert (await events.ending()).outcome is Outcome.COMPLETED
    bare, document, named = decoder.feed(events.body)
    assert (bare.data, json.loads(document.data), named.data) == (text, {"in": text}, text)


@pytest.mark.parametrize("text", ODD, ids=ascii)
async def test_odd_text_in_lines_and_bytes_arrives_as_it_was(text: str) -> None:
    async def source() -> AsyncIterator[str]:
        yield text
        yield text

    lines = Visit(source(), NDJSONStream)
    assert (await lines.ending()).outcome is Outcome.COMPLETED
    assert [json.loads(line) for line in lines.body.split(b"\n") if line] == [text, text]
    raw = Visit(source(), ByteStream)
    assert (await raw.ending()).outcome is Outcome.COMPLETED
    assert raw.body.decode() == text + text


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\r\nb", "\n", "\r\n\r\n", "a\n"], ids=ascii)
async def test_line_ends_in_data_are_joined_back_by_the_reader(text: str) -> None:
    async def source() -> AsyncIterator[str]:
        yield text
        yield "next"

    visit = Visit(source())
    await visit.ending()
    expected = text.replace("\r\n", "\n").replace("\r", "\n")
    assert [message.data for message in Decoder().feed(visit.body)] == [expected, "next"]


# -- a chunk of 64 MiB ---------------------------------------------------------------------------------------


def _huge_bytes() -> Iterator[bytes]:
    yield bytes(HUGE)


async def _huge(chunk: object) -> AsyncIterator[object]:
    yield chunk
    await asyncio.sleep(1)
    yield chunk[:4]  # type: ignore[index]


@pytest.mark.parametrize(
    ("source", "response", "size"),
    [
        (lambda: _huge(bytes(HUGE)), ByteStream, HUGE + 4),
        (lambda: _huge("x" * HUGE), NDJSONStream, HUGE + 4 + 2 * len('""\n')),
        (lambda: _huge("x" * HUGE), EventStream, HUGE + 4 + 2 * len("data: \n\n")),
        (_huge_bytes, ByteStream, HUGE),
    ],
    ids=["bytes", "lines", "events", "thread"],
)
async def test_a_huge_chunk_waits_for_a_client_that_stalls_and_arrives_whole(
    source: Callable[[], Any], response: type[Any], size: int
) -> None:
    visit = Visit(source(), response)
    visit.stall()
    await asyncio.sleep(5)
    visit.resume()
    ending = await visit.ending()
    assert (ending.outcome, ending.bytes) == (Outcome.COMPLETED, size)
    assert len(visit.body) == size


async def test_a_client_that_leaves_a_huge_chunk_is_not_waited_for() -> None:
    diary = Diary()

    async def source() -> AsyncIterator[bytes]:
        try:
            yield bytes(HUGE)
            await asyncio.sleep(1)
            yield bytes(HUGE)
        finally:
            diary("cleaned")

    visit = Visit(source(), ByteStream)
    visit.stall()
    await asyncio.sleep(5)
    visit.leave()
    ending = await visit.ending()
    assert ending.outcome is Outcome.CLIENT_GONE
    assert ending.cleanup == 0
    assert diary.words == ["cleaned"]


async def _nothing() -> AsyncIterator[bytes]:
    while True:
        yield b""


async def test_a_source_of_nothing_but_empty_chunks_ends_when_its_client_leaves() -> None:
    visit = Visit(_nothing(), ByteStream)
    await turns(20)
    visit.leave()
    assert (await visit.ending()).outcome is Outcome.CLIENT_GONE


async def test_a_source_of_nothing_but_empty_chunks_costs_no_memory_while_the_client_does_not_read() -> None:
    registry = Registry(QUIET)
    visit = Visit(_nothing(), ByteStream, state={"endwell": registry})
    visit.stall()
    await turns(300)
    (stream,) = registry._live.values()
    assert len(stream.writer.frames) <= FULL_OF_BYTES
    visit.leave()
    assert (await visit.ending()).outcome is Outcome.CLIENT_GONE


async def test_empty_chunks_between_others_are_nothing_on_the_wire() -> None:
    async def source() -> AsyncIterator[bytes]:
        for chunk in (b"", b"one", b"", b"", b"two", b""):
            yield chunk
            await asyncio.sleep(1)

    visit = Visit(source(), ByteStream)
    assert (await visit.ending()).outcome is Outcome.COMPLETED
    assert visit.pieces == [b"one", b"two"]
