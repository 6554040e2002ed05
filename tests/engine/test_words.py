"""What is counted, said and refused, in the corners."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from endwell import (
    ByteStream,
    ClientError,
    ConfigurationError,
    EventStream,
    NDJSONStream,
    NoCurrentStream,
    Outcome,
    current_stream,
)
from endwell.engine import Registry
from endwell.wire import OpenAIChat
from tests.engine.scene import QUIET, Diary, Visit, for_ever, talker, turns
from tests.peer import Peer

Stop = Callable[..., bool]


def served(response: EventStream | NDJSONStream, registry: Registry, **peer: Any) -> Peer:
    response.attach(registry, None)
    return Peer(response, **peer)


async def waiting(stops: list[Stop]) -> AsyncIterator[str]:
    stops.append(current_stream().stop)
    await for_ever()
    yield "a"


async def test_ordinary_leavers_make_no_room_for_more_sources_without_clients() -> None:
    registry, diary = Registry(QUIET, unattended=1), Diary()
    for _ in range(3):
        client = served(EventStream(talker(diary, cleanup=0), policy=QUIET), registry)
        await client.got(b"hello")
        client.leave()
        await client.finished()
    policy = replace(QUIET, on_leave="finish")
    alone = [served(EventStream(talker(diary, cleanup=0), policy=policy), registry) for _ in range(2)]
    for client in alone:
        await client.got(b"hello")
        client.leave()
    await asyncio.sleep(1)
    assert [client.task.done() for client in alone] == [False, True]
    registry.drain()
    await registry.settle()


@pytest.mark.parametrize("reason", [42, b"user", object()])
async def test_a_reason_is_text_and_no_ending_is_lost(reason: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    stops: list[Stop] = []
    client = Visit(waiting(stops))
    await turns()
    with pytest.raises(TypeError, match="reason"):
        stops[0](reason)
    stops[0]("user")
    assert (await client.ending()).reason == "user"


class Quota(ClientError):
    code = "quota"
    message = "You have used it up."
    status = 429


@pytest.mark.parametrize("again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
@pytest.mark.parametrize(
    "make", [partial(ClientError, "a", "b", status=429), Quota, partial(Quota, message="c")]
)
def test_a_client_error_comes_back_from_another_process(make: Callable[[], ClientError], again: Any) -> None:
    error = make()
    other = again(error)
    assert type(other) is type(error)
    assert (other.code, other.message, other.status) == (error.code, error.message, 429)


async def test_a_client_error_may_be_a_class_with_its_words() -> None:
    async def source() -> AsyncIterator[str]:
        raise Quota
        yield

    client = Visit(source())
    ending = await client.ending()
    told = client.told()
    assert (client.status, told["code"], told["message"]) == (429, "quota", Quota.message)
    assert isinstance(ending.error, Quota)


def test_the_class_of_a_client_error_is_checked_when_it_is_made() -> None:
    with pytest.raises(ConfigurationError, match="status"):
        type("Fine", (ClientError,), {"status": 200})


async def test_what_is_on_its_way_is_counted_in_what_the_client_is_told() -> None:
    async def source() -> AsyncIterator[Any]:
        yield {"a": 1}
        await asyncio.sleep(1)
        yield {"a": 2}
        await asyncio.sleep(1)
        raise ValueError

    def response(source: Any, **options: Any) -> EventStream:
        return EventStream(source, dialect="openai-responses", **options)

    client = Visit(source(), response, sends={3: 5})  # the second chunk's takes 5 s
    await client.ending()
    assert b'"sequence_number":2' in client.frames[-1]


async def test_what_was_stopped_is_refused_for_good() -> None:
    stops: list[Stop] = []
    policy = replace(QUIET, soft_refusal=True)
    client = Visit(waiting(stops), policy=policy, headers=[(b"accept", b"text/event-stream")])
    await turns()
    stops[0]()
    await client.ending()
    assert client.status == 503


async def test_only_events_can_be_refused_softly() -> None:
    registry = Registry(QUIET)
    response = NDJSONStream(waiting([]), policy=replace(QUIET, soft_refusal=True))
    client = served(response, registry, headers=[(b"accept", b"application/x-ndjson, text/event-stream")])
    await turns()
    registry.drain()
    await client.finished()
    assert client.status == 503


async def test_a_done_is_not_put_into_the_middle_of_an_event() -> None:
    def response(source: Any, **options: Any) -> ByteStream:
        return ByteStream(source, media_type="text/event-stream", dialect=OpenAIChat(done=True), **options)

    half, whole = Visit([b'data: {"a"'], response), Visit([b'data: {"a":1}\n\n'], response)
    await asyncio.gather(half.ending(), whole.ending())
    assert half.body == b'data: {"a"'
    assert whole.body == b'data: {"a":1}\n\ndata: [DONE]\n\n'


async def test_empty_chunks_that_nobody_is_there_for_are_discarded() -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.sleep(2)
        yield b""
        yield b"b"

    client = Visit(source(), ByteStream, policy=replace(QUIET, on_leave="finish"))
    await client.got(b"a")
    client.leave()
    ending = await client.ending()
    assert (ending.chunks, ending.discarded) == (1, 2)


async def test_an_error_for_the_client_gets_through_a_task_group() -> None:
    async def source() -> AsyncIterator[str]:
        async with asyncio.TaskGroup():
            raise ClientError("quota", "no more", status=429)
        yield "a"

    client = Visit(source())
    await client.ending()
    assert (client.status, client.told()["code"]) == (429, "quota")


@pytest.mark.parametrize("work", [for_ever, 5, None], ids=["a function", "a number", "nothing"])
async def test_only_a_coroutine_can_be_spawned(work: Any) -> None:
    async def source() -> AsyncIterator[str]:
        with pytest.raises(TypeError, match="coroutine"):
            _ = current_stream().spawn(work)
        yield "a"

    assert (await Visit(source()).ending()).outcome is Outcome.COMPLETED


async def test_a_callback_is_checked_and_never_taken_in_vain() -> None:
    streams = []

    async def source() -> AsyncIterator[str]:
        stream = current_stream()
        streams.append(stream)
        with pytest.raises(ConfigurationError, match="on_end"):
            stream.on_end(None)  # type: ignore[arg-type]
        yield "a"

    client = Visit(source())
    assert (await client.ending()).outcome is Outcome.COMPLETED
    with pytest.raises(NoCurrentStream):
        streams[0].on_end(print)


def one_buffer(size: int) -> Iterator[memoryview]:
    buffer = bytearray(4)
    for number in range(size):
        buffer[:] = b"%04d" % number
        yield memoryview(buffer)


async def test_a_sync_source_may_use_one_buffer_for_all_its_chunks() -> None:
    client = Visit(one_buffer(100), ByteStream)
    await client.ending()
    assert client.body == b"".join(b"%04d" % number for number in range(100))


async def test_a_sync_source_may_use_one_dict_for_all_its_chunks() -> None:
    def source() -> Iterator[dict[str, int]]:
        row: dict[str, int] = {}
        for number in range(100):
            row["n"] = number
            yield row

    client = Visit(source(), NDJSONStream)
    await client.ending()
    assert client.body == b"".join(b'{"n":%d}\n' % number for number in range(100))


async def test_what_a_sync_source_cannot_say_ends_it_in_its_thread() -> None:
    diary = Diary()

    def source() -> Iterator[float]:
        try:
            yield 1.0
            yield float("nan")
            diary("went on")
        finally:
            diary("closed")

    client = Visit(source(), NDJSONStream)
    ending = await client.ending()
    assert (ending.outcome, ending.chunks) == (Outcome.FAILED, 1)
    assert diary.words == ["closed"]
