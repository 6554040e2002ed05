"""Small things that go wrong around a stream: none may cost its ending, or what it owns."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
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
    SourceEnd,
    current_stream,
)
from endwell.engine import Registry
from endwell.wire import OpenAIChat
from tests.engine.scene import QUIET, Diary, Visit, for_ever, now, talker, turns
from tests.peer import Peer

EVENTS = [(b"accept", b"text/event-stream")]


def sources() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task.get_name() == "endwell source"]


# -- chunks that are used again ------------------------------------------------------------------------------


async def test_a_sync_source_may_use_one_buffer_for_all_chunks() -> None:
    def source() -> Iterator[memoryview]:
        buffer = bytearray(4)
        for number in range(100):
            buffer[:] = b"%04d" % number
            yield memoryview(buffer)

    client = Visit(source(), ByteStream)
    await client.ending()
    assert client.body == b"".join(b"%04d" % number for number in range(100))


async def test_a_sync_source_may_use_one_dict_for_all_chunks() -> None:
    def source() -> Iterator[dict[str, int]]:
        row: dict[str, int] = {}
        for number in range(100):
            row["n"] = number
            yield row

    client = Visit(source(), NDJSONStream)
    await client.ending()
    assert client.body == b"".join(b'{"n":%d}\n' % number for number in range(100))


# -- errors with a life of their own -------------------------------------------------------------------------


class Bare(ClientError):
    """A subclass that forgets to call the one above."""

    def __init__(self, user: str) -> None:
        self.user = user


class Quota(ClientError):
    code = "quota_exceeded"
    message = "No more today."
    status = 429

    def __init__(self) -> None:
        pass


class Lost(ClientError):
    def __init__(self) -> None:
        pass

    @property
    def status(self) -> int:  # type: ignore[override]
        raise LookupError


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("make", [lambda: Bare("bob"), Quota, Lost])
async def test_a_client_error_of_ones_own_loses_nothing(make: Callable[[], ClientError], late: bool) -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        if late:
            yield "a"
        raise make()

    client = Visit(source(), owns=[lambda: diary("released")])
    ending = await client.ending()
    assert diary == [(0, "released")]
    assert (ending.outcome, ending.overdue) == (Outcome.FAILED, False)


async def test_a_client_error_may_have_its_words_as_class_attributes() -> None:
    async def source() -> AsyncIterator[str]:
        raise Quota
        yield

    client = Visit(source())
    await client.ending()
    assert client.status == 429
    assert client.told()["code"] == "quota_exceeded"


async def test_a_client_error_out_of_a_task_group_is_one() -> None:
    async def source() -> AsyncIterator[str]:
        async with asyncio.TaskGroup():
            raise Quota
        yield

    client = Visit(source())
    await client.ending()
    assert client.status == 429


def test_a_client_error_can_be_sent_to_another_process() -> None:
    error = ClientError("a", "b", status=429)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (again.code, again.message, again.status) == ("a", "b", 429)


# -- what is asked of a stream -------------------------------------------------------------------------------


async def test_a_reason_is_text() -> None:
    stops: list[Any] = []

    async def source() -> AsyncIterator[str]:
        stops.append(current_stream().stop)
        yield "a"
        await for_ever()

    client = Visit(source())
    await client.got(b"a")
    with pytest.raises(TypeError, match="a reason must be a str, or None; got 42"):
        stops[0](42)
    stops[0]("enough")
    assert (await client.ending()).reason == "enough"


async def test_only_a_coroutine_can_be_spawned() -> None:
    async def source() -> AsyncIterator[str]:
        yield "a"
        for thing in (for_ever, 42):
            with pytest.raises(TypeError, match="spawn\\(\\) takes a coroutine"):
                _ = current_stream().spawn(thing)  # type: ignore[arg-type]

    assert (await Visit(source()).ending()).outcome is Outcome.COMPLETED


async def test_a_callback_can_be_called_and_is_given_in_time() -> None:
    streams = []

    async def source() -> AsyncIterator[str]:
        streams.append(current_stream())
        with pytest.raises(ConfigurationError, match="on_end must be a function"):
            current_stream().on_end(None)  # type: ignore[arg-type]
        yield "a"

    assert (await Visit(source()).ending()).outcome is Outcome.COMPLETED
    with pytest.raises(NoCurrentStream, match="is over"):
        streams[0].on_end(print)


# -- counts --------------------------------------------------------------------------------------------------


async def test_clients_that_leave_as_usual_free_no_places_for_sources_that_go_on() -> None:
    registry = Registry(QUIET, unattended=1)
    for _ in range(2):
        response = EventStream(talker(Diary(), cleanup=0.1), policy=QUIET)
        response.attach(registry, None)
        peer = Peer(response)
        await peer.got(b"hello")
        peer.leave()
        await peer.finished()
    assert registry._unattended.running == 0


async def test_a_chunk_without_bytes_is_discarded_too() -> None:
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


async def test_what_is_being_sent_counts_in_a_sequence() -> None:
    async def source() -> AsyncIterator[dict[str, int]]:
        yield {"a": 1}
        await asyncio.sleep(1)
        yield {"a": 2}
        await asyncio.sleep(1)
        raise LookupError

    def response(source: Any, **options: Any) -> EventStream:
        return EventStream(source, dialect="openai-responses", **options)

    client = Visit(source(), response, sends={3: 5})
    await client.ending()
    assert b'"sequence_number":2' in client.body


async def test_a_source_that_finished_is_not_overdue_with_what_it_owns() -> None:
    ending = await Visit(["a"], owns=[for_ever]).ending()
    assert (ending.outcome, ending.overdue) == (Outcome.COMPLETED, True)
    assert ending.source is SourceEnd.FINISHED


# -- words ---------------------------------------------------------------------------------------------------


async def test_what_was_stopped_is_refused_for_good() -> None:
    stops: list[Any] = []

    async def source() -> AsyncIterator[str]:
        stops.append(current_stream().stop)
        await for_ever()
        yield "a"

    client = Visit(source(), policy=replace(QUIET, soft_refusal=True), headers=EVENTS)
    await turns()
    stops[0]()
    await client.ending()
    assert client.status == 503


async def test_only_events_are_refused_softly() -> None:
    registry = Registry(QUIET)
    response = NDJSONStream(talker(Diary()), policy=replace(QUIET, soft_refusal=True))
    response.attach(registry, None)
    registry.drain()
    client = Peer(response, headers=EVENTS)
    await client.finished()
    assert client.status == 503


async def test_nothing_completes_a_stream_that_ended_in_mid_frame() -> None:
    def response(source: Any, **options: Any) -> ByteStream:
        dialect = OpenAIChat(done=True)
        return ByteStream(source, media_type="text/event-stream", dialect=dialect, **options)

    for body, whole in ((b'data: {"a"', False), (b"data: 1\n\n", True)):
        client = Visit([body], response)
        await client.ending()
        assert client.body == body + (b"data: [DONE]\n\n" if whole else b"")


# -- cancelled early -----------------------------------------------------------------------------------------


async def test_what_is_owned_is_released_however_often_its_task_is_cancelled_before_it_begins() -> None:
    diary = Diary()

    def release() -> None:
        diary(f"released {bool(current_stream().id)}")

    client = Visit(talker(diary), owns=[release])
    for _ in range(6):
        await asyncio.sleep(0)
        for task in sources():
            task.cancel()
    ending = await client.ending()
    assert diary.words == ["released True"]
    assert not ending.overdue


async def test_a_task_group_that_failed_long_ago_does_not_keep_a_source_from_being_cancelled() -> None:
    """CPython 3.11's leaves a cancellation behind for good."""
    diary = Diary()

    async def fail() -> None:
        raise LookupError

    async def source() -> AsyncIterator[str]:
        try:
            async with asyncio.TaskGroup() as group:
                _ = group.create_task(fail())
        except* LookupError:
            pass
        await asyncio.sleep(1)
        yield "a"
        try:
            await for_ever()
        finally:
            await asyncio.sleep(2)
            diary("cleaned")

    client = Visit(source())
    await client.got(b"a")
    await asyncio.sleep(1)
    client.task.cancel()
    ending = await client.ending()
    assert not ending.overdue
    assert diary == [(4, "cleaned")]
    assert now() == 4


# -- after the end, and without a beginning ------------------------------------------------------------------


async def test_what_an_overdue_cleanup_comes_to_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "endwell")

    async def source() -> AsyncIterator[str]:
        try:
            yield "a"
            await for_ever()
        finally:
            try:
                await for_ever()
            finally:
                await asyncio.sleep(3)
                raise LookupError("late")

    client = Visit(source(), policy=replace(QUIET, cleanup=5))
    await client.got(b"a")
    client.leave()
    assert (await client.ending()).overdue
    await asyncio.sleep(4)
    assert "that was overdue is over" in caplog.text
    assert "LookupError: late" in caplog.text


@pytest.mark.parametrize("hangs", [False, True])
async def test_what_a_head_request_does_not_need_is_released_whatever_cancels_it(
    hangs: bool, caplog: pytest.LogCaptureFixture
) -> None:
    diary = Diary()

    async def slow() -> None:
        await asyncio.sleep(1)
        diary("slow")

    owns = [lambda: diary("first"), for_ever if hangs else slow]
    client = Visit(talker(diary), owns=owns, method="HEAD", policy=replace(QUIET, cleanup=5))
    await turns()
    client.task.cancel()
    assert isinstance(await client.over(), asyncio.CancelledError)
    assert diary.words == (["first"] if hangs else ["slow", "first"])
    assert now() == (5 if hangs else 1)
    assert ("overdue" in caplog.text) is hangs
