"""What can be a source, and what cannot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from endwell import ByteStream, EventStream, NDJSONStream, Outcome, SourceInUse
from tests.engine.scene import Diary, Visit, for_ever, now, turns
from tests.peer import Peer


async def words() -> AsyncIterator[str]:
    yield "a"
    yield "b"


def sync_words() -> Iterator[str]:
    yield "a"
    yield "b"


class Rewindable:
    def __aiter__(self) -> AsyncIterator[str]:
        return words()


class Steps:
    def __init__(self) -> None:
        self.left = ["b", "a"]

    def __aiter__(self) -> Steps:
        return self

    async def __anext__(self) -> str:
        if not self.left:
            raise StopAsyncIteration
        return self.left.pop()


class SyncIterable:
    def __iter__(self) -> Iterator[str]:
        return sync_words()


@dataclass
class Unhashable(Steps):
    """A dataclass compares by value, and so cannot be hashed."""

    name: str = ""

    def __post_init__(self) -> None:
        super().__init__()


SOURCES: list[Any] = [
    words,
    sync_words,
    Rewindable,
    Steps,
    SyncIterable,
    Unhashable,
    lambda: ["a", "b"],
    lambda: ("a", "b"),
    lambda: iter(["a", "b"]),
    lambda: map(str, ["a", "b"]),
    {"a": 1, "b": 2}.keys,
]


@pytest.mark.parametrize("make", SOURCES)
async def test_whatever_can_be_iterated_over_is_a_source(make: Any) -> None:
    visit = Visit(make())
    ending = await visit.ending()
    assert (ending.outcome, ending.chunks) == (Outcome.COMPLETED, 2)
    assert visit.frames == [b"data: a", b"data: b"]


async def no_generator() -> str:
    return "a"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: "text", "got a str; put it in a list"),
        (lambda: b"bytes", "got a bytes; put it in a list"),
        (lambda: bytearray(3), "got a bytearray"),
        (lambda: {"a": 1}, "got a dict"),
        (lambda: words, "got function; call it"),
        (no_generator, "got a coroutine; it has no yield"),
        (lambda: None, "got NoneType"),
        (lambda: 5, "got int"),
        (object, "got object"),
    ],
)
async def test_what_is_no_source_is_refused_with_a_hint(make: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        EventStream(make())


async def test_a_future_is_no_source_although_it_can_be_iterated_over() -> None:
    task = asyncio.create_task(no_generator())
    with pytest.raises(TypeError):
        EventStream(task)
    await task


# -- in use --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [words, sync_words, Steps, Unhashable])
async def test_a_generator_given_to_two_responses_is_an_error_for_the_second(make: Any) -> None:
    source = make()
    first = Visit(source)
    with pytest.raises(SourceInUse, match="call the generator function again"):
        NDJSONStream(source)
    assert (await first.ending()).chunks == 2
    with pytest.raises(SourceInUse):
        NDJSONStream(source)


async def test_two_iterators_that_are_equal_are_two_sources() -> None:
    @dataclass(frozen=True)
    class Equal:
        name: str = "same"

        def __aiter__(self) -> Equal:
            return self

        async def __anext__(self) -> str:
            raise StopAsyncIteration

    first, second = EventStream(Equal()), EventStream(Equal())
    await Peer(first).finished()
    await Peer(second).finished()


@pytest.mark.parametrize("make", [Rewindable, SyncIterable, lambda: ["a", "b"]])
async def test_an_iterable_can_be_given_to_any_number_of_responses(make: Any) -> None:
    source = make()
    for _ in range(3):
        assert (await Visit(source).ending()).chunks == 2


@pytest.mark.parametrize("make", [words, sync_words, Steps])
async def test_a_response_that_is_called_for_two_requests_does_not_answer_the_second_with_nothing(
    make: Any,
) -> None:
    response = EventStream(make())
    await Peer(response).finished()
    second = Peer(response)
    assert isinstance(await second.over(), SourceInUse)
    assert second.sends == []


async def test_a_response_that_is_called_while_it_runs_harms_no_stream() -> None:
    async def source() -> AsyncIterator[str]:
        yield "a"
        await asyncio.sleep(1)
        yield "b"

    response = EventStream(source())
    first, second = Peer(response), Peer(response)
    assert isinstance(await second.over(), SourceInUse)
    await first.finished()
    assert first.frames == [b"data: a", b"data: b"]


# -- closing -------------------------------------------------------------------------------------------------


async def test_an_object_with_only_close_is_closed_and_awaited() -> None:
    """openai's AsyncStream: an async generator over a response, and `close` for the response itself."""
    diary = Diary()

    class Upstream:
        async def __aiter__(self) -> AsyncIterator[str]:
            try:
                yield "a"
                await for_ever()
            finally:
                diary("generator")

        async def close(self) -> None:
            await asyncio.sleep(1)
            diary("response")

    visit = Visit(Upstream())
    await visit.got(b"a")
    visit.leave()
    await visit.ending()
    assert diary == [(0, "generator"), (1, "response")]


@pytest.mark.parametrize("end", ["complete", "leave", "before the first step"])
async def test_a_sync_object_with_close_is_closed_and_so_is_its_generator(end: str) -> None:
    """openai's Stream: the same, in sync."""
    diary = Diary()

    class Upstream:
        def __iter__(self) -> Iterator[bytes]:
            try:
                yield b"a"
                yield b"b"
            finally:
                diary("generator")

        def close(self) -> None:
            diary("response")

    visit = Visit(Upstream(), ByteStream, body=() if end == "before the first step" else (b"",))
    if end == "leave":
        await visit.got(b"a")
    if end != "complete":
        visit.leave()
    await visit.ending()
    assert diary.words == (["response"] if end == "before the first step" else ["generator", "response"])


async def test_the_iterable_is_closed_even_if_its_iterator_cannot_be() -> None:
    diary = Diary()

    class Steps:
        async def __anext__(self) -> str:
            raise StopAsyncIteration

        async def aclose(self) -> None:
            raise LookupError

    class Upstream:
        def __aiter__(self) -> Any:
            return Steps()

        async def aclose(self) -> None:
            diary("closed")

    ending = await Visit(Upstream()).ending()
    assert diary == [(0, "closed")]
    assert [type(error) for error in ending.cleanup_errors] == [LookupError]


async def test_a_source_without_any_close_needs_none() -> None:
    class Endless:
        def __aiter__(self) -> Endless:
            return self

        async def __anext__(self) -> str:
            await for_ever()
            raise AssertionError

    visit = Visit(Endless())
    await turns()
    visit.leave()
    ending = await visit.ending()
    assert (ending.cleanup_errors, now()) == ((), 0)


async def test_a_generator_that_was_never_started_is_finished_for_good() -> None:
    generator = words()
    visit = Visit(generator, body=())
    visit.leave()
    await visit.ending()
    with pytest.raises(StopAsyncIteration):
        await anext(generator)
