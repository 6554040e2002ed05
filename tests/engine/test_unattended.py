"""What becomes of a source whose client leaves is a policy."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from endwell import (
    Cause,
    Ending,
    EventStream,
    Finish,
    Grace,
    NDJSONStream,
    Outcome,
    SourceEnd,
    current_stream,
)
from endwell.engine import Registry
from tests.engine.scene import FULL, QUIET, Diary, Visit, now
from tests.peer import FOREVER, Peer


def visit(source: Any, on_leave: Any, **options: Any) -> Visit:
    policy = replace(QUIET, on_leave=on_leave, **options.pop("policy", {}))
    return Visit(source, NDJSONStream, policy=policy, **options)


async def numbers(diary: Diary, last: int = 10) -> AsyncIterator[int]:
    try:
        for number in range(1, last + 1):
            yield number
            await asyncio.sleep(1)
        diary("finished")
    except asyncio.CancelledError:
        diary("cancelled")
        raise
    finally:
        await asyncio.sleep(1)
        diary("cleaned")


async def test_by_default_it_is_cancelled() -> None:
    diary = Diary()
    client = visit(numbers(diary), "cancel")
    await asyncio.sleep(2.5)
    client.leave()
    ending = await client.ending()
    assert diary == [(2.5, "cancelled"), (3.5, "cleaned")]
    assert (ending.source, ending.on_leave, ending.discarded) == (SourceEnd.CANCELLED, "cancel", 0)


@pytest.mark.parametrize("on_leave", ["finish", Finish(60), Grace(60)])
async def test_it_may_run_to_its_end_which_is_discarded_and_counted(on_leave: Any) -> None:
    diary = Diary()
    client = visit(numbers(diary), on_leave)
    await asyncio.sleep(2.5)
    client.leave()
    ending = await client.ending()
    assert diary == [(10, "finished"), (11, "cleaned")]
    assert (ending.outcome, ending.cause, ending.duration) == (Outcome.CLIENT_GONE, Cause.DISCONNECT, 2.5)
    assert (ending.source, ending.chunks, ending.discarded) == (SourceEnd.FINISHED, 3, 7)
    assert ending.on_leave == (Finish(600) if on_leave == "finish" else on_leave)
    assert client.unheard == []


async def test_a_grace_is_over_at_its_time() -> None:
    diary = Diary()
    client = visit(numbers(diary), Grace(3))
    await asyncio.sleep(2.5)
    client.leave()
    ending = await client.ending()
    assert diary == [(5.5, "cancelled"), (6.5, "cleaned")]
    assert (ending.source, ending.discarded, ending.cleanup) == (SourceEnd.CANCELLED, 3, 1)


async def test_the_source_learns_that_it_is_alone() -> None:
    diary = Diary()

    async def source() -> AsyncIterator[int]:
        yield 1
        await current_stream().gone
        diary("alone")
        await asyncio.sleep(1)
        diary("over")

    client = visit(source(), "finish")
    await asyncio.sleep(2)
    client.leave()
    await client.ending()
    assert diary == [(2, "alone"), (3, "over")]


async def test_a_source_that_was_held_up_by_its_client_goes_on_at_once() -> None:
    given = 0

    async def source() -> AsyncIterator[bytes]:
        nonlocal given
        for _ in range(100):
            given += 1
            yield FULL.decode()  # type: ignore[misc]

    client = visit(source(), "finish", sends={2: FOREVER})
    await asyncio.sleep(5)
    assert given < 5
    client.leave()
    ending = await client.ending()
    assert (given, now()) == (100, 5)
    assert (ending.source, ending.chunks, ending.discarded) == (SourceEnd.FINISHED, 0, 100)


async def test_one_that_never_awaits_ends_at_its_grace() -> None:
    async def source() -> AsyncIterator[int]:
        while True:
            yield 1
            if current_stream().gone:
                await asyncio.sleep(0.5)

    client = visit(source(), Grace(3))
    await client.got(b"1\n")
    client.leave()
    ending = await client.ending()
    assert (ending.source, now()) == (SourceEnd.CANCELLED, 3)


async def test_before_its_first_chunk_too() -> None:
    diary = Diary()

    async def source() -> AsyncIterator[int]:
        await asyncio.sleep(5)
        yield 1
        diary("finished")

    client = visit(source(), "finish")
    await asyncio.sleep(1)
    client.leave()
    ending = await client.ending()
    assert diary == [(5, "finished")]
    assert (ending.source, ending.chunks, ending.discarded) == (SourceEnd.FINISHED, 0, 1)
    assert ending.time_to_first_chunk == 5


async def test_what_it_raises_when_it_is_alone_is_no_cause_but_is_not_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def source() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(5)
        raise LookupError("lost")

    client = visit(source(), "finish")
    await asyncio.sleep(1)
    client.leave()
    ending = await client.ending()
    assert (ending.outcome, ending.source) == (Outcome.CLIENT_GONE, SourceEnd.RAISED)
    assert isinstance(ending.error, LookupError)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_a_client_that_does_not_read_has_not_left() -> None:
    client = visit(numbers(Diary()), "finish", policy={"send": 2}, sends={2: FOREVER})
    ending = await client.ending()
    assert (ending.outcome, ending.source, ending.on_leave) == (
        Outcome.SLOW_CLIENT,
        SourceEnd.CANCELLED,
        None,
    )


async def test_it_can_be_stopped() -> None:
    registry = Registry(QUIET)
    diary = Diary()
    response = NDJSONStream(numbers(diary), policy=replace(QUIET, on_leave="finish"))
    response.attach(registry, None)
    endings: list[Ending] = []
    registry.callbacks.append(endings.append)
    client = Peer(response)
    await asyncio.sleep(1.5)
    client.leave()
    await asyncio.sleep(2)
    (alive,) = registry.active()
    assert registry.stop(alive.id, "enough")
    assert not registry.stop(alive.id, "again")
    await client.finished()
    await registry.settle()
    assert diary == [(3.5, "cancelled"), (4.5, "cleaned")]
    assert [(each.outcome, each.reason, each.source) for each in endings] == [
        (Outcome.CLIENT_GONE, "enough", SourceEnd.CANCELLED)
    ]


async def test_a_cancelled_request_does_not_hurt_it() -> None:
    """BaseHTTPMiddleware cancels the request whose client has left."""
    diary = Diary()
    client = visit(numbers(diary), "finish")
    await asyncio.sleep(2.5)
    client.leave()
    client.task.cancel()
    await asyncio.sleep(1)
    client.task.cancel()
    ending = await client.ending()
    assert diary == [(10, "finished"), (11, "cleaned")]
    assert ending.source is SourceEnd.FINISHED


async def test_only_so_many_go_on_at_once(caplog: pytest.LogCaptureFixture) -> None:
    registry = Registry(QUIET, unattended=2)
    diaries = [Diary() for _ in range(4)]
    clients = []
    for diary in diaries[:3]:
        response = NDJSONStream(numbers(diary), policy=replace(QUIET, on_leave="finish"))
        response.attach(registry, None)
        clients.append(Peer(response))
    await asyncio.sleep(0.5)
    for client in clients:
        client.leave()
    for client in clients:
        await client.finished()
    assert [diary.words[0] for diary in diaries[:3]] == ["finished", "finished", "cancelled"]
    assert "2 sources go on without their clients already" in caplog.text
    # Their places are free again.
    response = NDJSONStream(numbers(diaries[3]), policy=replace(QUIET, on_leave="finish"))
    response.attach(registry, None)
    last = Peer(response)
    await asyncio.sleep(0.5)
    last.leave()
    await last.finished()
    assert diaries[3].words[0] == "finished"
    await registry.settle()


async def test_a_drain_ends_it() -> None:
    registry = Registry(QUIET)
    diary = Diary()
    response = EventStream(numbers(diary), policy=replace(QUIET, on_leave="finish"))
    response.attach(registry, None)
    client = Peer(response)
    await asyncio.sleep(1.5)
    client.leave()
    await asyncio.sleep(1)
    registry.drain()
    await client.finished()
    assert diary == [(2.5, "cancelled"), (3.5, "cleaned")]


async def test_nothing_is_kept_of_what_nobody_takes() -> None:
    held: list[int] = []

    async def source() -> AsyncIterator[str]:
        for number in range(50_000):
            yield "x" * 100
            if number % 1000 == 0:
                await asyncio.sleep(0.001)
                held.append(len(frames))

    registry = Registry(QUIET)
    response = NDJSONStream(source(), policy=replace(QUIET, on_leave="finish"))
    response.attach(registry, None)
    client = Peer(response, sends={2: FOREVER})
    await asyncio.sleep(0)
    (stream,) = registry._live.values()
    frames = stream.writer.frames
    client.leave()
    await client.finished()
    assert max(held) < 2000
