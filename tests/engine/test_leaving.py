"""The client leaves: at whatever moment, the source is cancelled once, and its cleanup finishes."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Callable

import pytest

from endwell import ByteStream, Cause, EventStream, Outcome, Policy, current_stream
from endwell.types import Message, Receive, Scope, Send
from tests.engine.scene import FULL, QUIET, Diary, Visit, for_ever, now, talker, turns
from tests.peer import FOREVER, Peer


async def test_a_client_that_leaves_an_idle_stream_cancels_the_source_and_its_cleanup_finishes() -> None:
    diary = Diary()
    visit = Visit(talker(diary, cleanup=2))
    await visit.got(b"hello")
    await asyncio.sleep(5)
    visit.leave()
    ending = await visit.ending()
    assert diary == [(5, "cancelled"), (7, "cleaned")]
    assert (ending.outcome, ending.cause) == (Outcome.CLIENT_GONE, Cause.DISCONNECT)
    assert (ending.duration, ending.cleanup, ending.overdue) == (5, 2, False)
    assert (ending.error, ending.reference, ending.cleanup_errors) == (None, None, ())
    assert visit.unheard == []


async def test_the_source_is_cancelled_in_the_moment_the_client_leaves() -> None:
    diary = Diary()
    visit = Visit(talker(diary))
    await visit.got(b"hello")
    visit.leave()
    await turns(5)
    assert diary == [(0, "cancelled")]
    await visit.ending()


async def test_a_client_that_leaves_before_the_first_chunk_leaves_no_trace_on_the_wire() -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        try:
            await for_ever()
            yield "never"
        finally:
            await asyncio.sleep(1)
            diary("cleaned")

    visit = Visit(source())
    await asyncio.sleep(3)
    visit.leave()
    ending = await visit.ending()
    assert diary == [(4, "cleaned")]
    assert (ending.outcome, ending.time_to_first_chunk) == (Outcome.CLIENT_GONE, None)
    assert visit.sends == []
    assert visit.unheard == []
    assert await visit.over() is None


async def test_a_client_that_left_before_the_source_began_still_has_everything_released() -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        diary("began")
        yield "never"

    async def close() -> None:
        await asyncio.sleep(1)
        diary("released")

    visit = Visit(source(), owns=[close], body=())
    visit.leave()
    ending = await visit.ending()
    assert diary == [(1, "released")]
    assert (ending.outcome, ending.chunks) == (Outcome.CLIENT_GONE, 0)
    assert visit.unheard == []


async def test_a_client_that_leaves_while_chunks_are_being_sent() -> None:
    diary = Diary()

    async def source() -> AsyncIterator[bytes]:
        try:
            while True:
                yield FULL
        finally:
            await asyncio.sleep(1)
            diary("cleaned")

    visit = Visit(source(), ByteStream, latency=0.1)
    await asyncio.sleep(1.05)
    visit.leave()
    ending = await visit.ending()
    assert diary == [(2.05, "cleaned")]
    assert ending.outcome is Outcome.CLIENT_GONE
    assert ending.chunks == 9
    assert visit.unheard == []


async def test_a_client_that_leaves_while_the_source_is_held_up_at_its_yield() -> None:
    diary = Diary()

    async def source() -> AsyncIterator[bytes]:
        try:
            while True:
                yield FULL
        except GeneratorExit:
            diary("closed")
            raise
        finally:
            await asyncio.sleep(1)
            diary("cleaned")

    visit = Visit(source(), ByteStream, sends={2: FOREVER})
    await asyncio.sleep(5)
    visit.leave()
    ending = await visit.ending()
    assert diary == [(5, "closed"), (6, "cleaned")]
    assert (ending.outcome, ending.cleanup_errors) == (Outcome.CLIENT_GONE, ())


async def test_a_client_that_leaves_during_the_cleanup_changes_nothing() -> None:
    async def source() -> AsyncIterator[str]:
        yield "x"

    diary = Diary()

    async def close() -> None:
        try:
            await asyncio.sleep(5)
        finally:
            diary("released")

    visit = Visit(source(), owns=[close])
    await visit.until(lambda: visit.complete)
    await asyncio.sleep(2)
    visit.leave()
    ending = await visit.ending()
    assert diary == [(5, "released")]
    assert (ending.outcome, ending.duration, ending.cleanup) == (Outcome.COMPLETED, 0, 5)


async def test_a_client_that_leaves_twice_over_is_gone_once() -> None:
    """The message, then a send that fails: it is the same leaving."""
    diary = Diary()
    visit = Visit(talker(diary), sends={2: OSError()})
    visit.leave(OSError("reset"))
    ending = await visit.ending()
    assert ending.outcome is Outcome.CLIENT_GONE
    assert visit.unheard == []


async def test_a_client_that_leaves_after_the_terminal_frame_is_told_of_once() -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        yield "x"
        raise LookupError

    async def close() -> None:
        await asyncio.sleep(5)
        diary("released")

    visit = Visit(source(), owns=[close])
    await visit.until(lambda: visit.complete)
    await asyncio.sleep(1)
    visit.leave()
    ending = await visit.ending()
    assert diary == [(5, "released")]
    assert ending.outcome is Outcome.FAILED
    assert visit.told()["code"] == "internal_error"


async def test_a_disconnect_that_only_follows_the_end_of_the_body_is_nobodys_leaving() -> None:
    gone = []

    async def source() -> AsyncIterator[str]:
        yield "x"

    async def ask() -> None:
        await asyncio.sleep(1)
        gone.append(bool(current_stream().gone))

    visit = Visit(source(), owns=[ask])
    assert (await visit.ending()).outcome is Outcome.COMPLETED
    assert gone == [False]


# -- at the same moment --------------------------------------------------------------------------------------


def at(moment: float, *calls: Callable[[], object]) -> None:
    for call in calls:
        asyncio.get_running_loop().call_at(moment, call)


@pytest.mark.parametrize("after", range(8))
async def test_a_client_that_leaves_as_the_source_ends_is_one_ending(after: int) -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        yield "x"
        await asyncio.sleep(5)

    async def close() -> None:
        await asyncio.sleep(1)
        diary("released")

    visit = Visit(source(), owns=[close], latency=0)
    await asyncio.sleep(5)
    await turns(after)
    visit.leave()
    ending = await visit.ending()
    assert ending.outcome in {Outcome.COMPLETED, Outcome.CLIENT_GONE}
    assert diary == [(6, "released")]
    assert visit.complete or ending.outcome is Outcome.CLIENT_GONE


@pytest.mark.parametrize("after", range(8))
async def test_a_client_that_leaves_as_the_source_raises_is_one_ending(after: int) -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        try:
            yield "x"
            await asyncio.sleep(5)
            raise LookupError
        finally:
            diary("left")

    visit = Visit(source(), latency=0)
    await asyncio.sleep(5)
    await turns(after)
    visit.leave()
    ending = await visit.ending()
    assert diary == [(5, "left")]
    assert ending.outcome in {Outcome.FAILED, Outcome.CLIENT_GONE}
    assert (ending.error is None) == (ending.outcome is Outcome.CLIENT_GONE)
    assert isinstance(await visit.over(), LookupError) == (ending.outcome is Outcome.FAILED)


@pytest.mark.parametrize("after", range(6))
async def test_a_client_that_leaves_as_somebody_stops_the_stream_is_one_ending(after: int) -> None:
    diary = Diary()
    stops = []

    async def source() -> AsyncIterator[str]:
        stops.append(current_stream().stop)
        async for word in talker(diary):
            yield word

    visit = Visit(source())
    await visit.got(b"hello")
    visit.leave()
    await turns(after)
    stopped = stops[0]("now")
    ending = await visit.ending()
    assert ending.outcome is (Outcome.STOPPED if stopped else Outcome.CLIENT_GONE)
    assert ending.reason == ("now" if stopped else None)
    assert [what for _, what in diary.entries].count("cancelled") == 1


async def test_what_ends_the_stream_later_does_not_cancel_the_source_again() -> None:
    diary = Diary()
    stops: list[Callable[[], bool]] = []

    async def source() -> AsyncIterator[str]:
        stops.append(current_stream().stop)
        try:
            yield "hello"
            await for_ever()
        finally:
            for _ in range(5):
                await asyncio.sleep(1)
            diary("cleaned")

    visit = Visit(source(), policy=Policy(total=4, heartbeat=None))
    await visit.got(b"hello")
    at(1, visit.leave)
    at(2, lambda: diary(f"stopped: {stops[0]()}"))
    at(3, visit.task.cancel)
    ending = await visit.ending()
    assert (ending.outcome, ending.duration, ending.cleanup) == (Outcome.CLIENT_GONE, 1, 5)
    assert diary == [(2, "stopped: False"), (6, "cleaned")]


# -- how it is learned ---------------------------------------------------------------------------------------


async def test_a_receive_that_raises_means_that_the_client_is_gone() -> None:
    diary = Diary()
    visit = Visit(talker(diary))
    await visit.got(b"hello")
    visit.leave(ConnectionResetError())
    assert (await visit.ending()).outcome is Outcome.CLIENT_GONE
    assert diary == [(0, "cancelled"), (1, "cleaned")]


@pytest.mark.parametrize("error", [RuntimeError("read before"), LookupError("a fault in a middleware")])
async def test_a_receive_that_is_broken_leaves_it_to_send_to_notice(error: Exception) -> None:
    async def source() -> AsyncIterator[str]:
        yield "x"
        await asyncio.sleep(5)
        yield "y"
        await for_ever()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def broken() -> Message:
            raise error

        await EventStream(source(), policy=QUIET)(scope, broken, send)

    peer = Peer(app, sends={3: OSError()})
    await peer.finished()
    assert now() == 5


async def test_a_source_that_awaits_gone_beside_it_learns_of_it_at_once() -> None:
    diary = Diary()

    async def watch() -> None:
        gone = current_stream().gone
        diary(repr(gone))
        await gone
        await gone
        diary(repr(gone))

    async def source() -> AsyncIterator[str]:
        _ = current_stream().spawn(watch())
        yield "x"
        await for_ever()

    visit = Visit(source())
    await asyncio.sleep(5)
    visit.leave()
    await visit.ending()
    assert diary == [(0, "<Gone: False>"), (5, "<Gone: True>")]


# -- never the garbage collector -----------------------------------------------------------------------------


@pytest.mark.parametrize("sends", [{}, {2: FOREVER}])
async def test_no_cleanup_is_left_to_the_garbage_collector(sends: dict[int, float]) -> None:
    finalized: list[object] = []
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(firstiter=hooks.firstiter, finalizer=finalized.append)
    gc.disable()
    try:
        for moment in range(30):
            diary = Diary()

            async def source(diary: Diary = diary) -> AsyncIterator[bytes]:
                inner = talker(diary)
                try:
                    async for word in inner:
                        yield word.encode() + FULL
                finally:
                    await inner.aclose()  # type: ignore[attr-defined]
                    diary("outer")

            visit = Visit(source(), ByteStream, sends=sends)
            await turns(moment)
            visit.leave()
            await visit.ending()
            assert [what for _, what in diary.entries[-2:]] in (["cleaned", "outer"], [])
    finally:
        gc.enable()
        sys.set_asyncgen_hooks(*hooks)
    assert finalized == []
