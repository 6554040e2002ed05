"""A process that goes away: what its sources learn, what its streams come to, and by when all is over."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from endwell import Cause, Ending, EventStream, NDJSONStream, Outcome, Policy, SourceEnd, current_stream
from endwell.engine import Registry
from endwell.engine._latch import Latch
from endwell.lifecycle import LAST
from tests.engine.scene import QUIET, Diary, Visit, now, talker, turns
from tests.peer import FOREVER

GOING = replace(QUIET, drain=20.0, cleanup=15.0)


class Application:
    """Streams that belong together, and their endings."""

    def __init__(self, policy: Policy = GOING) -> None:
        self.registry = Registry(policy)
        self.endings: list[Ending] = []
        self.registry.callbacks.append(self.hear)

    async def hear(self, ending: Ending) -> None:
        self.endings.append(ending)

    def visit(self, source: Any, kind: Any = EventStream, **options: Any) -> Visit:
        return Visit(source, kind, state={"endwell": self.registry}, policy=self.registry.policy, **options)

    async def drain(self) -> None:
        self.registry.drain()
        await self.registry.drained()


async def ticks() -> AsyncIterator[str]:
    """Never looks whether the process goes away."""
    while True:
        yield "tick"
        await asyncio.sleep(1)


# -- what a source learns ------------------------------------------------------------------------------------


async def says_goodbye() -> AsyncIterator[str]:
    stream = current_stream()
    while not stream.draining:
        yield "tick"
        await asyncio.sleep(1)
    yield "goodbye"


async def waits_for_it() -> AsyncIterator[str]:
    yield "a"
    await current_stream().draining
    await asyncio.sleep(2)
    yield "goodbye"


async def told_by_its_helper() -> AsyncIterator[str]:
    going: asyncio.Queue[str] = asyncio.Queue()

    async def listen() -> None:
        await current_stream().draining
        await going.put("goodbye")

    listening = current_stream().spawn(listen())
    yield "a"
    yield await going.get()
    await listening


@pytest.mark.parametrize("source", [says_goodbye, waits_for_it, told_by_its_helper])
async def test_a_source_that_looks_says_goodbye_and_its_client_is_told_to_come_back(
    source: Callable[[], AsyncIterator[str]],
) -> None:
    """It ended because of the drain, whatever it has done on its own account."""
    application = Application(replace(GOING, retry=(700, 700)))
    visit = application.visit(source())
    await asyncio.sleep(3.5)
    await application.drain()
    body = visit.body.decode()
    assert body.index("data: goodbye\n\n") < body.index("retry: 700") < body.index("drained")
    (ending,) = application.endings
    assert (ending.outcome, ending.cause, ending.source) == (
        Outcome.DRAINED,
        Cause.DRAIN,
        SourceEnd.FINISHED,
    )
    assert now() < 6


async def test_a_source_that_never_looked_is_ended_at_once() -> None:
    application = Application()
    visit = application.visit(ticks())
    await asyncio.sleep(1.5)
    await application.drain()
    assert now() == 1.5
    assert b'"code":"drained"' in visit.frames[-1]
    assert application.endings[0].source is SourceEnd.CANCELLED


async def test_a_source_that_looked_and_goes_on_has_what_its_cleanup_leaves_of_the_drain() -> None:
    async def stubborn() -> AsyncIterator[str]:
        assert not current_stream().draining
        while True:
            yield "tick"
            await asyncio.sleep(1)

    application = Application()
    application.visit(stubborn())
    await asyncio.sleep(2.5)
    await application.drain()
    assert now() == 2.5 + 5 - LAST
    assert application.endings[0].outcome is Outcome.DRAINED


async def test_a_source_that_ends_without_having_seen_it_is_complete() -> None:
    async def short() -> AsyncIterator[str]:
        assert not current_stream().draining
        await asyncio.sleep(2)
        yield "all there is"

    application = Application()
    visit = application.visit(short())
    await asyncio.sleep(1)
    await application.drain()
    assert application.endings[0].outcome is Outcome.COMPLETED
    assert b"drained" not in visit.body


async def test_a_goodbye_before_the_first_chunk_is_an_http_error() -> None:
    async def silent() -> AsyncIterator[str]:
        await current_stream().draining
        return
        yield ""

    application = Application()
    visit = application.visit(silent())
    await asyncio.sleep(1)
    await application.drain()
    assert (visit.status, visit.told()["code"]) == (503, "drained")
    assert int(visit.headers["retry-after"]) >= 1


async def test_outside_an_application_nobody_goes_away() -> None:
    async def source() -> AsyncIterator[str]:
        draining = current_stream().draining
        yield f"{bool(draining)} {draining!r}"

    visit = Visit(source(), EventStream)
    await visit.ending()
    assert b"data: False <Draining: False>\n\n" in visit.body


class Counted(asyncio.Future[None]):
    """A future that counts with how many others it is compared."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return self is other

    __hash__ = asyncio.Future.__hash__


async def test_a_source_that_is_not_told_any_more_is_not_looked_for_among_all_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With ten thousand of them, that would take the loop a tenth of a millisecond for each that ends."""
    going = Latch()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "create_future", lambda: Counted(loop=loop))
    waiting = [asyncio.create_task(going.wait()) for _ in range(100)]
    await turns(1)
    for task in reversed(waiting):
        task.cancel()
    await asyncio.wait(waiting)
    assert Counted.compared == 0


# -- by when all is over -------------------------------------------------------------------------------------


async def test_a_cleanup_is_given_up_at_the_drains_deadline(caplog: pytest.LogCaptureFixture) -> None:
    async def slow() -> AsyncIterator[str]:
        try:
            yield "a"
            assert not current_stream().draining
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(60)

    application = Application(replace(QUIET, drain=3.0, cleanup=2.9))
    application.visit(slow())
    await asyncio.sleep(1)
    await application.drain()
    assert now() == pytest.approx(1 + 2.9)
    assert application.endings[0].overdue
    assert re.search(r"is overdue after 2.9 s, stuck at .*\bslow \(", caplog.text)
    await asyncio.sleep(100)


async def test_streams_with_longer_cleanups_than_the_drain_do_not_hold_it_up() -> None:
    async def slow() -> AsyncIterator[str]:
        try:
            yield "a"
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(60)

    application = Application(replace(QUIET, drain=3.0, cleanup=2.0))
    visit = Visit(
        slow(), EventStream, state={"endwell": application.registry}, policy=Policy(drain=100.0, cleanup=90.0)
    )
    await asyncio.sleep(1)
    await application.drain()
    assert now() == 4
    assert (await visit.ending()).overdue
    await asyncio.sleep(100)


async def test_a_thousand_clients_that_do_not_read_do_not_hold_it_up() -> None:
    application = Application()
    visits = [application.visit(ticks(), NDJSONStream, sends={2: FOREVER}) for _ in range(1000)]
    await asyncio.sleep(3)
    await application.drain()
    assert now() <= 3 + GOING.drain
    for visit in visits:
        await visit.ending()
    assert {ending.outcome for ending in application.endings} == {Outcome.DRAINED}


async def test_thousands_are_released_batch_by_batch() -> None:
    application = Application()
    for _ in range(1000):
        application.visit(ticks())
    await asyncio.sleep(1)
    application.registry.drain()
    await asyncio.sleep(0.025)  # looks lie between the batches
    left = []
    for _ in range(10):
        left.append(len(application.registry.active()))
        await asyncio.sleep(0.05)
    assert left[-1] == 0
    assert left == sorted(left, reverse=True)
    assert len(set(left)) == 10
    await application.registry.drained()


async def test_whoever_insists_has_no_time_but_for_a_word() -> None:
    application = Application()
    diary = Diary()
    visit = application.visit(talker(diary, cleanup=30.0))
    patient = application.visit(waits_for_it())
    await asyncio.sleep(1)
    application.registry.drain()
    await asyncio.sleep(0.5)
    waiting = asyncio.create_task(application.registry.drained())
    await asyncio.sleep(0.5)
    application.registry.hurry()
    await waiting
    assert now() == pytest.approx(2 + LAST)
    for each in (visit, patient):
        assert b'"code":"drained"' in each.frames[-1]
    await asyncio.sleep(100)


async def test_whoever_insists_hurries_all_who_wait_for_the_end() -> None:
    """An administrator's own drain is under way when the server's begins; one of them is given up."""
    application = Application()
    ended: list[tuple[str, float]] = []

    async def hang(ending: Ending) -> None:
        await asyncio.sleep(1000)

    async def drain(name: str) -> None:
        await application.drain()
        ended.append((name, now()))

    application.registry.callbacks.append(hang)
    application.visit(ticks())
    await asyncio.sleep(1)
    first, given_up, last = [asyncio.create_task(drain(name)) for name in ("first", "given up", "last")]
    await asyncio.sleep(0.5)
    given_up.cancel()
    await asyncio.sleep(0.5)
    application.registry.hurry()
    await asyncio.wait([first, given_up, last])
    assert {name for name, _ in ended} == {"first", "last"}
    assert all(2 <= when <= 2 + 2 * LAST for _, when in ended)
    await asyncio.sleep(20)


async def test_whoever_insists_in_the_moment_in_which_the_time_is_up_is_understood_too() -> None:
    """Whoever waits is about to give up, and cannot be hurried any more."""
    application = Application(replace(QUIET, drain=3.0, cleanup=2.0))

    async def hang(ending: Ending) -> None:
        await asyncio.sleep(1000)

    application.registry.callbacks.append(hang)
    application.visit(talker(Diary(), cleanup=60.0))
    await asyncio.sleep(1)
    waiting = asyncio.create_task(application.drain())
    await turns()
    (wait,) = application.registry._waits
    when = wait.when()
    assert when is not None
    asyncio.get_running_loop().call_at(when + 1e-8, application.registry.hurry)
    await waiting
    assert now() <= when + 2 * LAST
    await asyncio.sleep(100)


async def test_whoever_insists_at_once_is_understood() -> None:
    application = Application()
    application.visit(waits_for_it())
    await asyncio.sleep(1)
    application.registry.hurry()
    await application.registry.drained()
    assert now() <= 1 + LAST


async def test_a_callback_that_hangs_is_not_waited_for_beyond_the_deadline() -> None:
    application = Application(replace(QUIET, drain=3.0, cleanup=2.9))

    async def bill(ending: Ending) -> None:
        await asyncio.sleep(1000)

    application.registry.callbacks.append(bill)
    application.visit(ticks())
    await asyncio.sleep(1)
    await application.drain()
    assert now() <= 4.1
    await asyncio.sleep(3)


async def test_it_is_over_when_those_who_were_turned_away_have_their_answer_and_their_ending() -> None:
    """What a source owns must be released before the application closes what it came from."""
    application = Application()
    diary = Diary()
    application.registry.drain()
    refused = application.visit(ticks(), owns=[lambda: diary("released")], sends={1: 3})
    await turns()
    await application.registry.drained()
    assert diary == [(3, "released")]
    assert [ending.outcome for ending in application.endings] == [Outcome.REJECTED]
    await refused.ending()


async def test_a_drain_happens_once_until_the_application_begins_anew() -> None:
    application = Application()
    await application.drain()
    await application.drain()
    assert application.registry.draining
    refused = application.visit(ticks())
    assert (await refused.ending()).cause is Cause.DRAINING
    application.registry.open()
    assert not application.registry.draining
    visit = application.visit(says_goodbye())
    await turns()
    assert visit.status == 200
    await application.drain()
