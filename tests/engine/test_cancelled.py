"""The task of the request is cancelled from outside: by the server, a middleware, a timeout."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import anyio
import pytest

from endwell import ByteStream, Cause, EventStream, Outcome, Policy, StreamCut
from endwell.types import Receive, Scope, Send
from tests.engine.scene import FULL, QUIET, Diary, Visit, for_ever, now, talker, turns
from tests.peer import FOREVER, Peer
from tests.virtual_time import VirtualTimeLoop


async def test_a_cancelled_request_cleans_up_tells_its_client_and_is_cancelled() -> None:
    diary = Diary()
    visit = Visit(talker(diary, cleanup=2))
    await asyncio.sleep(5)
    visit.task.cancel()
    ending = await visit.ending()
    assert diary == [(5, "cancelled"), (7, "cleaned")]
    assert (ending.outcome, ending.cause) == (Outcome.STOPPED, Cause.SERVER_CANCELLED)
    assert (ending.duration, ending.cleanup) == (5, 2)
    assert visit.told()["code"] == "stopped"
    assert visit.sends[-1].at == 5
    assert isinstance(await visit.over(), asyncio.CancelledError)


async def test_a_request_cancelled_before_the_first_chunk_answers_with_an_http_error() -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        try:
            await for_ever()
            yield "never"
        finally:
            await asyncio.sleep(1)
            diary("cleaned")

    visit = Visit(source())
    await asyncio.sleep(5)
    visit.task.cancel()
    ending = await visit.ending()
    assert ending.cause is Cause.SERVER_CANCELLED
    assert visit.status == 503
    assert visit.told()["code"] == "stopped"
    assert diary == [(6, "cleaned")]


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_a_request_cancelled_in_a_blocked_send_cleans_up_and_sends_nothing_more(number: int) -> None:
    diary = Diary()
    visit = Visit(talker(diary), policy=Policy(heartbeat=2), sends={number: FOREVER})
    await asyncio.sleep(5)
    visit.task.cancel()
    ending = await visit.ending()
    assert diary == [(5, "cancelled"), (6, "cleaned")]
    assert (ending.outcome, ending.cause, now()) == (Outcome.STOPPED, Cause.SERVER_CANCELLED, 6)
    assert len(visit.sends) == number
    assert isinstance(await visit.over(), asyncio.CancelledError)


@pytest.mark.parametrize("after", range(8))
async def test_a_second_cancellation_disturbs_no_cleanup(after: int) -> None:
    diary = Diary()
    visit = Visit(talker(diary, cleanup=3), latency=0)
    await visit.got(b"hello")
    visit.task.cancel()
    await turns(after)
    visit.task.cancel()
    ending = await visit.ending()
    assert diary == [(0, "cancelled"), (3, "cleaned")]
    assert ending.cause is Cause.SERVER_CANCELLED
    assert isinstance(await visit.over(), asyncio.CancelledError)


async def test_cancellations_in_every_turn_disturb_no_cleanup() -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        try:
            yield "x"
            await for_ever()
        finally:
            await turns(50)
            diary("cleaned")

    visit = Visit(source())
    await visit.got(b"x")
    while not visit.task.done():
        visit.task.cancel()
        await asyncio.sleep(0)
    assert (await visit.ending()).cause is Cause.SERVER_CANCELLED
    assert diary == [(0, "cleaned")]


@pytest.mark.parametrize("before", range(6))
async def test_a_request_cancelled_as_it_begins_has_everything_released(before: int) -> None:
    """Before its first step nothing of it runs, and nothing is ever entered."""
    diary = Diary()

    async def close() -> None:
        await asyncio.sleep(1)
        diary("released")

    visit = Visit(talker(diary), owns=[close])
    await turns(before + 1)
    visit.task.cancel()
    await visit.ending()
    assert diary.entries[-1] == (2 if ("cleaned" in repr(diary)) else 1, "released")


@pytest.mark.parametrize("moment", [0.5, 1.5])
async def test_a_cancellation_during_the_cleanup_is_not_lost(moment: float) -> None:
    diary = Diary()
    visit = Visit(talker(diary), owns=[lambda: diary("released")])
    await visit.got(b"hello")
    visit.leave()
    await asyncio.sleep(0.5)
    visit.task.cancel()
    ending = await visit.ending()
    assert diary == [(0, "cancelled"), (1, "cleaned"), (1, "released")]
    assert ending.outcome is Outcome.CLIENT_GONE
    assert isinstance(await visit.over(), asyncio.CancelledError)


async def test_a_cancellation_after_the_end_of_the_body_leaves_it_complete() -> None:
    async def source() -> AsyncIterator[str]:
        yield "x"

    async def close() -> None:
        await asyncio.sleep(5)

    visit = Visit(source(), owns=[close])
    await asyncio.sleep(1)
    visit.task.cancel()
    ending = await visit.ending()
    assert (ending.outcome, ending.cleanup, visit.complete) == (Outcome.COMPLETED, 5, True)
    assert isinstance(await visit.over(), asyncio.CancelledError)


async def test_a_raw_body_is_cut_when_the_request_is_cancelled() -> None:
    diary = Diary()
    visit = Visit(talker(diary), ByteStream)
    await visit.got(b"hello")
    visit.task.cancel()
    await visit.ending()
    assert visit.was_cut
    assert not visit.complete
    assert isinstance(await visit.over(), (asyncio.CancelledError, StreamCut))


async def test_a_farewell_that_is_blocked_ends_with_the_cleanups_deadline() -> None:
    diary = Diary()
    visit = Visit(talker(diary), policy=Policy(cleanup=5), sends={3: FOREVER})
    await visit.got(b"hello")
    visit.task.cancel()
    ending = await visit.ending()
    assert diary == [(0, "cancelled"), (1, "cleaned")]
    assert (ending.overdue, now()) == (False, 5)


# -- by a middleware -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", range(3))
async def test_a_middleware_that_cancels_because_the_client_left_does_not_hide_the_leaving(
    after: int,
) -> None:
    diary = Diary()
    visit = Visit(talker(diary))
    await visit.got(b"hello")
    visit.task.cancel()
    await turns(after)
    visit.leave()
    ending = await visit.ending()
    assert (ending.outcome, ending.cause) == (Outcome.CLIENT_GONE, Cause.DISCONNECT)
    assert diary == [(0, "cancelled"), (1, "cleaned")]
    assert visit.unheard == []


@pytest.mark.timeout(20)
@pytest.mark.parametrize("sends", [{}, {1: FOREVER}, {2: FOREVER}])
async def test_a_cancel_scope_around_the_response_cancels_once_and_spins_never(
    sends: dict[int, float],
) -> None:
    """anyio's cancellation is level-triggered: without a shield, each await in the cleanup would be hit."""
    diary = Diary()
    scopes = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with anyio.CancelScope() as cancel_scope:
            scopes.append(cancel_scope)
            await EventStream(talker(diary, cleanup=3), policy=QUIET)(scope, receive, send)
        assert cancel_scope.cancelled_caught
        diary("caught")

    peer = Peer(app, sends=sends)
    await asyncio.sleep(5)
    scopes[0].cancel()
    await peer.finished()
    assert diary == [(5, "cancelled"), (8, "cleaned"), (8, "caught")]


@pytest.mark.timeout(20)
async def test_a_cancel_scope_and_the_leaving_of_the_client_are_one_ending() -> None:
    """What BaseHTTPMiddleware does: it hears of the disconnect, and cancels its task group."""
    diary = Diary()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as group:

            async def watch() -> None:
                await peer.until(lambda: peer.left)
                group.cancel_scope.cancel()

            group.start_soon(watch)
            await EventStream(talker(diary, cleanup=3), policy=QUIET)(scope, receive, send)

    peer = Peer(app)
    await peer.got(b"hello")
    peer.leave()
    await peer.finished()
    assert diary == [(0, "cancelled"), (3, "cleaned")]
    assert peer.unheard == []


async def test_a_timeout_around_the_response_is_a_timeout() -> None:
    diary = Diary()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with asyncio.timeout(5):
            await EventStream(talker(diary), policy=QUIET)(scope, receive, send)

    peer = Peer(app)
    assert isinstance(await peer.over(), TimeoutError)
    assert diary == [(5, "cancelled"), (6, "cleaned")]
    assert now() == 6


async def test_a_timeout_around_the_response_that_fires_in_its_cleanup_is_a_timeout() -> None:
    diary = Diary()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with asyncio.timeout(5):
            await EventStream(talker(diary, cleanup=3), policy=QUIET)(scope, receive, send)

    peer = Peer(app)
    await asyncio.sleep(4)
    peer.leave()
    assert isinstance(await peer.over(), TimeoutError)
    assert diary == [(4, "cancelled"), (7, "cleaned")]


async def test_the_request_is_as_little_cancelled_afterwards_as_it_was_before() -> None:
    """An uncancel too many or too few would break the next timeout in the same task."""
    left = []

    async def source() -> AsyncIterator[bytes]:
        yield FULL
        yield FULL
        await for_ever()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await ByteStream(source(), policy=QUIET)(scope, receive, send)
        task = asyncio.current_task()
        assert task is not None
        left.append(task.cancelling())
        await asyncio.sleep(1)

    peer = Peer(app, sends={2: FOREVER})
    await asyncio.sleep(5)
    peer.leave()
    await peer.finished()
    assert left == [0]


# -- by the end of the process -------------------------------------------------------------------------------


def test_a_loop_that_ends_with_live_streams_ends_them_in_good_order(caplog: pytest.LogCaptureFixture) -> None:
    """What `asyncio.run` does at its end: it cancels every task, the source's as well, and waits."""
    diaries: list[Diary] = []
    visits: list[Visit] = []

    async def main() -> None:
        diary = Diary()
        diaries.append(diary)
        visits.append(Visit(talker(diary)))
        visits.append(Visit(talker(diary), sends={2: FOREVER}))
        await asyncio.sleep(5)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())
    assert diaries[0] == [(5, "cancelled"), (5, "cancelled"), (6, "cleaned"), (6, "cleaned")]
    assert [ending.outcome for visit in visits for ending in visit.endings] == [Outcome.STOPPED] * 2
    assert not [record for record in caplog.records if record.levelno > logging.INFO]
