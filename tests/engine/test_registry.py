"""The streams of one application: who is alive, who is told, and how all are ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from endwell import Cause, Ending, EventStream, NDJSONStream, Outcome, Policy, Snapshot, current_stream
from endwell.engine import Registry
from endwell.types import Scope
from tests.engine.scene import QUIET, Diary, Visit, for_ever, now, talker, turns
from tests.peer import FOREVER, Peer


def guest(registry: Registry, source: Any, response: Any = EventStream, **peer: Any) -> Visit:
    """A visit whose stream is one of the registry's."""
    return Visit(source, response, state={"endwell": registry}, **peer)


async def numbers(count: int, pause: float = 1) -> AsyncIterator[int]:
    for number in range(count):
        yield number
        await asyncio.sleep(pause)


# -- who is alive --------------------------------------------------------------------------------------------


async def test_live_streams_are_listed_oldest_first_with_what_they_have_sent() -> None:
    registry = Registry(QUIET)
    first = guest(registry, numbers(3), NDJSONStream)
    await asyncio.sleep(0.5)
    second = guest(registry, numbers(3, pause=0))
    held = guest(registry, talker(Diary()), sends={2: FOREVER})
    await asyncio.sleep(1)
    snapshots = registry.active()
    assert [type(each) for each in snapshots] == [Snapshot] * 2
    assert [(each.age, each.state, each.chunks, each.bytes) for each in snapshots] == [
        (1.5, "open", 2, 4),
        (1, "open", 0, 0),
    ]
    ids = [each.id for each in snapshots]
    assert registry.get(ids[0]) is not None
    assert registry.get("nobody's") is None
    held.leave()
    for visit in (first, second, held):
        await visit.ending()
    assert registry.active() == []
    assert registry.get(ids[0]) is None


async def test_a_stream_that_could_not_even_begin_is_not_alive_and_holds_nothing() -> None:
    """It would hold up every drain until its deadline."""

    class Broken:
        def serving(self, scope: Scope) -> None:
            raise LookupError("no watch")

        def idle(self) -> None:
            pass

    registry = Registry(QUIET)
    registry.watch = Broken()
    diary = Diary()
    visit = guest(registry, numbers(3), owns=[lambda: diary("released")])
    assert repr(await visit.over()) == "LookupError('no watch')"
    assert (registry.active(), diary.words) == ([], ["released"])
    await registry.settle()


@pytest.mark.parametrize("lives", [True, False])
async def test_a_reason_is_text_whether_there_is_such_a_stream_or_not(lives: bool) -> None:
    registry = Registry(QUIET)
    visit = guest(registry, numbers(3))
    await turns()
    stream_id = registry.active()[0].id if lives else "unknown"
    with pytest.raises(TypeError, match="a reason must be a str, or None; got 5"):
        await registry.stop(stream_id, 5)  # type: ignore[arg-type]
    await visit.ending()


async def test_ids_are_long_and_never_the_same() -> None:
    registry = Registry(QUIET)
    visits = [guest(registry, numbers(1)) for _ in range(20)]
    await turns()
    ids = {each.id for each in registry.active()}
    assert len(ids) == 20
    assert all(len(each) >= 16 for each in ids)
    for visit in visits:
        await visit.ending()


# -- who is told ---------------------------------------------------------------------------------------------


async def test_every_callback_is_told_of_each_ending_once() -> None:
    registry = Registry(QUIET)
    told: list[tuple[str, str]] = []

    async def of_all(ending: Ending) -> None:
        told.append(("all", ending.id))

    async def of_one(ending: Ending) -> None:
        told.append(("one", ending.id))

    async def source() -> AsyncIterator[str]:
        current_stream().on_end(of_one)
        yield "x"

    registry.callbacks.append(of_all)
    endings = [await guest(registry, source()).ending() for _ in range(3)]
    await registry.settle()
    assert sorted(told) == sorted((who, ending.id) for ending in endings for who in ("all", "one"))


async def test_a_def_callback_runs_in_a_thread_and_its_stream_does_not_wait_for_it() -> None:
    registry = Registry(QUIET)
    told: list[str] = []
    registry.callbacks.append(lambda ending: told.append(ending.id))
    peer = Peer(EventStream(numbers(1)), state={"endwell": registry})
    await peer.finished()
    await registry.settle()
    assert len(told) == 1


@pytest.mark.parametrize(
    "error", [LookupError, SystemExit, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit]
)
async def test_a_callback_that_raises_harms_nobody(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    told = []

    async def fail(ending: Ending) -> None:
        raise error("broken")

    async def hear(ending: Ending) -> None:
        told.append(ending.outcome)

    registry = Registry(QUIET)
    registry.callbacks += [fail, hear, fail]
    visit = guest(registry, numbers(1))
    assert (await visit.ending()).outcome is Outcome.COMPLETED
    await registry.settle()
    assert told == [Outcome.COMPLETED]
    assert [record.levelno for record in caplog.records if "raised" in record.message] == [logging.ERROR] * 2


async def test_a_callback_that_hangs_is_reported_and_let_go(caplog: pytest.LogCaptureFixture) -> None:
    async def hang(ending: Ending) -> None:
        await for_ever()

    registry = Registry(Policy(cleanup=7))
    registry.callbacks.append(hang)
    await guest(registry, numbers(1)).ending()
    assert now() == 1
    await registry.settle()
    assert now() == 8
    assert "hang is overdue after 7 s" in caplog.text


@pytest.mark.timeout(20)
async def test_a_callback_that_swallows_its_cancellation_costs_nobody_anything() -> None:
    give_up = asyncio.Event()
    swallowed = 0

    async def stubborn(ending: Ending) -> None:
        nonlocal swallowed
        while not give_up.is_set():
            try:
                await give_up.wait()
            except asyncio.CancelledError:
                swallowed += 1

    peer = Peer(EventStream(numbers(1), policy=Policy(cleanup=7), on_end=stubborn))
    await peer.finished()
    assert now() <= 8
    await asyncio.sleep(100)
    assert swallowed == 1
    give_up.set()
    await turns()


async def test_a_stream_on_its_own_waits_for_the_callbacks_that_nobody_else_would() -> None:
    told = []

    async def slow(ending: Ending) -> None:
        await asyncio.sleep(3)
        told.append(ending.outcome)

    peer = Peer(EventStream(numbers(1), policy=QUIET, on_end=slow))
    await peer.until(lambda: peer.complete)
    assert now() == 1
    await peer.finished()
    assert (now(), told) == (4, [Outcome.COMPLETED])


async def test_a_stream_on_its_own_that_is_cancelled_then_still_tells_everybody() -> None:
    told = []

    async def slow(ending: Ending) -> None:
        await asyncio.sleep(3)
        told.append(ending.outcome)

    peer = Peer(EventStream(numbers(1), policy=QUIET, on_end=slow))
    await asyncio.sleep(2)
    peer.task.cancel()
    assert isinstance(await peer.over(), asyncio.CancelledError)
    await asyncio.sleep(3)
    assert told == [Outcome.COMPLETED]


# -- the end of all ------------------------------------------------------------------------------------------


async def test_a_drain_ends_every_stream_and_tells_its_client_when_to_come_back() -> None:
    registry = Registry(QUIET)
    diary = Diary()
    policy = Policy(retry=(2000, 4000))
    begun = guest(registry, talker(diary), policy=policy)
    held = guest(registry, talker(diary, cleanup=2), policy=policy, sends={1: FOREVER})
    waiting = guest(registry, silent(), policy=policy)
    await asyncio.sleep(1)
    registry.drain()
    endings = [await visit.ending() for visit in (begun, waiting)]
    assert [ending.outcome for ending in endings] == [Outcome.DRAINED] * 2
    assert [ending.cause for ending in endings] == [Cause.DRAIN] * 2
    (retry,) = (int(line[7:]) for line in begun.body.splitlines() if line.startswith(b"retry: "))
    assert 2000 <= retry <= 4000
    assert b'"code":"drained"' in begun.body
    assert (waiting.status, waiting.told()["code"]) == (503, "drained")
    assert int(waiting.headers["retry-after"]) > 0
    assert (await held.ending()).outcome is Outcome.DRAINED


async def silent() -> AsyncIterator[str]:
    await for_ever()
    yield "never"


async def test_a_drain_without_a_retry_names_none() -> None:
    registry = Registry(QUIET)
    visit = guest(registry, talker(Diary()), policy=Policy(retry=None))
    await visit.got(b"hello")
    registry.drain()
    await visit.ending()
    assert b"retry" not in visit.body
    assert visit.told()["code"] == "drained"


async def test_a_stream_that_comes_while_the_process_drains_is_refused_and_its_source_never_starts() -> None:
    registry = Registry(QUIET)
    registry.drain()
    diary = Diary()
    visit = guest(registry, talker(diary), owns=[lambda: diary("released")])
    ending = await visit.ending()
    assert (visit.status, ending.outcome, ending.cause) == (503, Outcome.REJECTED, Cause.DRAINING)
    assert diary.words == ["released"]
    registry.open()
    assert (await guest(registry, numbers(1)).ending()).outcome is Outcome.COMPLETED


async def test_settling_waits_for_the_streams_and_then_for_the_callbacks() -> None:
    registry = Registry(QUIET)
    told = []

    async def slow(ending: Ending) -> None:
        await asyncio.sleep(3)
        told.append(now())

    registry.callbacks.append(slow)
    visits = [guest(registry, numbers(count)) for count in (1, 4)]
    await turns()
    await registry.settle()
    assert told == [4, 7]
    for visit in visits:
        await visit.ending()


async def test_two_can_settle_at_once() -> None:
    registry = Registry(QUIET)
    visit = guest(registry, numbers(3))
    await turns()
    await asyncio.gather(registry.settle(), registry.settle())
    assert now() == 3
    await visit.ending()


# -- the log -------------------------------------------------------------------------------------------------


async def test_an_ending_is_one_line_in_the_log_and_an_error_only_for_a_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="endwell")

    async def fail() -> AsyncIterator[str]:
        yield "x"
        raise LookupError("in the log only")

    left = Visit(talker(Diary()))
    await left.got(b"hello")
    left.leave()
    await left.ending()
    failed = await Visit(fail()).ending()
    assert [record.levelno for record in caplog.records] == [logging.INFO, logging.ERROR]
    assert caplog.records[0].message.startswith("client_gone after 1 chunk in ")
    assert failed.reference is not None
    assert failed.reference in caplog.records[1].message
    assert "in the log only" in caplog.text
