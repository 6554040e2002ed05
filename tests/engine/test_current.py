"""What a source can ask of its stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from endwell import (
    ByteStream,
    Cause,
    CurrentStream,
    Ending,
    EventStream,
    NoCurrentStream,
    Outcome,
    Policy,
    SourceCrashed,
    current_stream,
)
from tests.engine.scene import QUIET, Diary, Visit, for_ever, now, talker, turns
from tests.peer import Peer

# -- the stream itself ---------------------------------------------------------------------------------------


async def test_there_is_no_current_stream_outside_a_source() -> None:
    with pytest.raises(NoCurrentStream):
        current_stream()


async def test_the_source_its_cleanup_and_what_it_spawns_have_one_and_the_same_stream() -> None:
    ids = []

    async def spawned() -> None:
        ids.append(current_stream().id)

    async def source() -> AsyncIterator[str]:
        try:
            ids.append(current_stream().id)
            _ = current_stream().spawn(spawned())
            yield "x"
            await asyncio.sleep(1)
        finally:
            ids.append(current_stream().id)

    visit = Visit(source(), owns=[lambda: ids.append(current_stream().id)])
    ending = await visit.ending()
    assert ids == [ending.id] * 4


async def test_a_stream_shows_its_id() -> None:
    shown = []

    async def source() -> AsyncIterator[str]:
        shown.append((current_stream().id, repr(current_stream())))
        yield "x"

    ending = await Visit(source()).ending()
    assert shown == [(ending.id, f"<CurrentStream {ending.id}>")]


async def test_an_on_end_callback_given_by_the_source_is_told_once() -> None:
    told: list[Ending] = []

    async def hear(ending: Ending) -> None:
        told.append(ending)
        with pytest.raises(NoCurrentStream):
            current_stream()

    async def source() -> AsyncIterator[str]:
        current_stream().on_end(hear)
        yield "x"

    assert told == [await Visit(source()).ending()] or len(told) == 1


# -- spawn ---------------------------------------------------------------------------------------------------


async def test_what_a_source_spawns_ends_with_the_stream_and_its_cleanup_is_awaited() -> None:
    diary = Diary()

    async def beside() -> None:
        try:
            await for_ever()
        finally:
            await asyncio.sleep(2)
            diary("beside")

    async def source() -> AsyncIterator[str]:
        _ = current_stream().spawn(beside())
        yield "x"
        await asyncio.sleep(1)

    visit = Visit(source(), owns=[lambda: diary("owned")])
    ending = await visit.ending()
    assert diary == [(3, "beside"), (3, "owned")]
    assert (ending.outcome, ending.cleanup_errors, now()) == (Outcome.COMPLETED, (), 3)


async def test_what_a_source_spawns_has_a_result() -> None:
    async def work() -> int:
        await asyncio.sleep(1)
        return 42

    async def source() -> AsyncIterator[int]:
        yield await current_stream().spawn(work())

    visit = Visit(source())
    await visit.ending()
    assert visit.frames == [b"data: 42"]


@pytest.mark.parametrize("chunks", [0, 1])
async def test_a_spawned_task_that_fails_fails_the_stream(chunks: int) -> None:
    diary = Diary()

    async def fail() -> None:
        await asyncio.sleep(3)
        raise LookupError("beside")

    async def source() -> AsyncIterator[str]:
        _ = current_stream().spawn(fail())
        async for word in talker(diary, *["x"] * chunks):
            if chunks:
                yield word

    visit = Visit(source())
    ending = await visit.ending()
    assert (ending.outcome, ending.cause, ending.duration) == (Outcome.FAILED, Cause.SOURCE_RAISED, 3)
    assert isinstance(ending.error, LookupError)
    assert await visit.over() is ending.error
    assert visit.complete == bool(chunks)


@pytest.mark.parametrize("crash", [SystemExit, KeyboardInterrupt])
async def test_a_spawned_task_cannot_take_the_server_down(crash: type[BaseException]) -> None:
    async def fail() -> None:
        await asyncio.sleep(1)
        raise crash

    async def source() -> AsyncIterator[str]:
        _ = current_stream().spawn(fail())
        yield "x"
        await for_ever()

    ending = await Visit(source()).ending()
    assert ending.outcome is Outcome.FAILED
    assert isinstance(ending.error, SourceCrashed)


async def test_a_failure_of_a_spawned_task_that_its_source_has_awaited_is_told_once() -> None:
    async def fail() -> None:
        await asyncio.sleep(1)
        raise LookupError

    async def source() -> AsyncIterator[str]:
        yield "x"
        await current_stream().spawn(fail())

    ending = await Visit(source()).ending()
    assert isinstance(ending.error, LookupError)
    assert ending.cleanup_errors == ()


async def test_a_spawned_task_that_fails_in_the_cleanup_is_a_cleanup_error() -> None:
    async def fail_late() -> None:
        try:
            await for_ever()
        finally:
            raise LookupError

    async def source() -> AsyncIterator[str]:
        _ = current_stream().spawn(fail_late())
        yield "x"
        await for_ever()

    visit = Visit(source())
    await visit.got(b"x")
    visit.leave()
    ending = await visit.ending()
    assert ending.outcome is Outcome.CLIENT_GONE
    assert [type(error) for error in ending.cleanup_errors] == [LookupError]


@pytest.mark.parametrize("latency", [None, 0, 1])
@pytest.mark.parametrize("response", [EventStream, ByteStream])
async def test_a_spawned_task_that_fails_as_it_is_ended_does_not_undo_a_source_that_ended_well(
    latency: float | None, response: type[EventStream]
) -> None:
    """Whether the last send was under way or not: the outcome must not hang on the server's speed."""

    async def fail_late() -> None:
        try:
            await for_ever()
        finally:
            raise LookupError

    async def source() -> AsyncIterator[str]:
        _ = current_stream().spawn(fail_late())
        yield "x"
        await asyncio.sleep(1)

    visit = Visit(source(), response, latency=latency)
    ending = await visit.ending()
    assert ending.outcome is Outcome.COMPLETED
    assert [type(error) for error in ending.cleanup_errors] == [LookupError]
    assert visit.complete
    assert await visit.over() is None


async def test_a_spawned_task_that_cancels_itself_is_no_failure() -> None:
    async def give_up() -> None:
        raise asyncio.CancelledError

    async def source() -> AsyncIterator[str]:
        _ = current_stream().spawn(give_up())
        yield "x"
        await asyncio.sleep(1)

    assert (await Visit(source()).ending()).outcome is Outcome.COMPLETED


async def test_what_is_spawned_during_the_cleanup_does_not_outlive_the_stream() -> None:
    diary = Diary()

    async def late() -> None:
        try:
            await for_ever()
        finally:
            diary("late ended")

    async def spawns_another() -> None:
        try:
            await for_ever()
        finally:
            _ = current_stream().spawn(late())
            await asyncio.sleep(1)

    async def source() -> AsyncIterator[str]:
        _ = current_stream().spawn(spawns_another())
        yield "x"

    ending = await Visit(source()).ending()
    await turns()
    assert ending.outcome is Outcome.COMPLETED
    assert not [task for task in asyncio.all_tasks() if "spawned" in task.get_name()]


async def test_a_stream_that_is_over_spawns_nothing() -> None:
    kept: list[CurrentStream] = []

    async def source() -> AsyncIterator[str]:
        kept.append(current_stream())
        yield "x"

    await Visit(source()).ending()
    work = for_ever()
    try:
        task = kept[0].spawn(work)
    except Exception:
        work.close()
    else:
        await asyncio.wait([task])
        assert task.cancelled()


async def test_a_spawned_task_can_stop_the_stream() -> None:
    diary = Diary()

    async def stop_later() -> None:
        await asyncio.sleep(3)
        current_stream().stop("from beside")

    async def source() -> AsyncIterator[str]:
        _ = current_stream().spawn(stop_later())
        try:
            yield "x"
            await for_ever()
        finally:
            await asyncio.sleep(1)
            diary("cleaned")

    ending = await Visit(source()).ending()
    assert (ending.outcome, ending.reason, ending.duration) == (Outcome.STOPPED, "from beside", 3)
    assert diary == [(4, "cleaned")]


async def test_a_spawned_task_that_hangs_is_let_go_at_the_cleanups_deadline() -> None:
    give_up = asyncio.Event()

    async def stubborn() -> None:
        while not give_up.is_set():
            try:
                await give_up.wait()
            except asyncio.CancelledError:
                pass

    async def source() -> AsyncIterator[str]:
        _ = current_stream().spawn(stubborn())
        await turns(2)
        yield "x"

    diary = Diary()
    visit = Visit(source(), policy=Policy(heartbeat=None, cleanup=5), owns=[lambda: diary("released")])
    ending = await visit.ending()
    await turns()
    assert (ending.outcome, ending.overdue, now()) == (Outcome.COMPLETED, True, 5)
    assert diary == [(5, "released")]
    give_up.set()
    await turns()


# -- owns ----------------------------------------------------------------------------------------------------


async def test_owning_returns_the_resource_and_releases_it_after_the_sources_own_cleanup() -> None:
    diary = Diary()

    class Connection:
        async def aclose(self) -> None:
            diary("closed")

    async def source() -> AsyncIterator[str]:
        connection = Connection()
        assert current_stream().owns(connection) is connection
        try:
            yield "x"
        finally:
            diary("cleaned")

    await Visit(source(), owns=[lambda: diary("given first")]).ending()
    assert diary == [(0, "cleaned"), (0, "closed"), (0, "given first")]


async def test_what_is_owned_while_things_are_released_is_released_too() -> None:
    diary = Diary()

    def release() -> None:
        current_stream().owns(lambda: diary("late"))
        diary("first")

    async def source() -> AsyncIterator[str]:
        yield "x"

    await Visit(source(), owns=[release]).ending()
    assert diary == [(0, "first"), (0, "late")]


async def test_what_is_owned_after_the_end_is_not_forgotten() -> None:
    kept: list[CurrentStream] = []
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        kept.append(current_stream())
        yield "x"

    await Visit(source()).ending()
    try:
        kept[0].owns(lambda: diary("released"))
    except Exception:
        return
    await turns()
    assert diary == [(0, "released")]


# -- after the end -------------------------------------------------------------------------------------------


async def test_gone_stays_false_for_a_stream_whose_client_stayed() -> None:
    kept: list[CurrentStream] = []

    async def source() -> AsyncIterator[str]:
        kept.append(current_stream())
        yield "x"

    peer = Peer(EventStream(source(), policy=QUIET))
    await peer.finished()
    assert not kept[0].gone
    assert kept[0].sent == (1, 9)
    assert not kept[0].stop()
