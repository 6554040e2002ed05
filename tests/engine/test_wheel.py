"""One clock for all: far looks are taken together, near ones to the millisecond, and nobody is kept alive."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from contextvars import ContextVar
from itertools import pairwise
from typing import Any

import pytest

from endwell.engine import _wheel
from endwell.engine._wheel import AT_A_TIME, FAR, GRAIN, Timed, Wheel, wheel_of
from tests.engine.scene import now, turns
from tests.virtual_time import VirtualTimeLoop

MILLISECOND = 0.001


class Look(Timed):
    """Notes when it is looked at, and what it is told then.

    Args:
        loop: The loop it is on; the running one by default.
        then: What it does when it is looked at.
    """

    __slots__ = ("__weakref__", "_then", "at", "told")

    def __init__(self, loop: Any = None, then: Callable[[], object] = lambda: None) -> None:
        super().__init__(loop or asyncio.get_running_loop())
        self.at: list[float] = []
        self.told: list[float] = []
        self._then = then

    def tick(self, now: float) -> None:
        self.has_come()
        self.at.append(self.loop.time())
        self.told.append(now)
        self._then()

    def by(self, when: float, *, exactly: bool = False) -> None:
        self.look_by(when, self.loop.time(), exactly=exactly)


class Hasty:
    """The loop that runs, whose timers all fire early, as uvloop's may by a millisecond."""

    def __init__(self, early: float = MILLISECOND) -> None:
        self._loop = asyncio.get_running_loop()
        self._early = early
        self.time = self._loop.time
        self.armed = 0

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, **context: Any) -> Any:
        self.armed += 1
        return self._loop.call_at(when - self._early, callback, *args, **context)


@contextmanager
def no_collections() -> Iterator[None]:
    """What is freed in the block is freed because nobody refers to it."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def turns_armed() -> int:
    """Timers of the running loop that turn a wheel."""
    timers: list[asyncio.TimerHandle] = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return sum("Wheel._turn" in repr(timer) and not timer.cancelled() for timer in timers)


# -- when ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("started", [0.0, 0.0123, 7.77])
@pytest.mark.parametrize("ahead", [FAR, 1.0001, 1 + GRAIN, 14.999, 3600.123])
async def test_what_is_far_is_looked_at_when_it_is_due_and_at_most_a_grain_later(
    started: float, ahead: float
) -> None:
    await asyncio.sleep(started)
    look, when = Look(), started + ahead
    look.by(when)
    await asyncio.sleep(2 * ahead)
    (at,) = look.at
    assert when - 1e-6 <= at <= when + GRAIN + 1e-6
    assert look.told[0] >= when


@pytest.mark.parametrize("ahead", [0, 0.0017, 0.25, 0.999])
async def test_what_is_near_is_looked_at_to_the_millisecond(ahead: float) -> None:
    await asyncio.sleep(0.0123)
    look, when = Look(), now() + ahead
    look.by(when)
    await asyncio.sleep(10)
    assert look.at == [pytest.approx(when, abs=1e-6)]


async def test_what_is_far_can_be_had_to_the_millisecond() -> None:
    look = Look()
    look.by(20.0017, exactly=True)
    await asyncio.sleep(100)
    assert look.at == [pytest.approx(20.0017, abs=1e-6)]


@pytest.mark.parametrize("earlier", [0.3, 5.3])
@pytest.mark.parametrize("later", [0.4, 9.4])
async def test_an_earlier_arrangement_does_for_a_later_one(earlier: float, later: float) -> None:
    earlier, later = min(earlier, later), max(earlier, later)
    look = Look()
    look.by(earlier)
    look.by(later)
    await asyncio.sleep(100)
    assert look.at == [pytest.approx(earlier, abs=GRAIN)]


@pytest.mark.parametrize("earlier", [0.3, 5.3])
@pytest.mark.parametrize("later", [0.4, 9.4])
async def test_a_later_arrangement_gives_way_to_an_earlier_one(earlier: float, later: float) -> None:
    earlier, later = min(earlier, later), max(earlier, later)
    look = Look()
    look.by(later)
    look.by(earlier)
    await asyncio.sleep(100)
    assert look.at == [pytest.approx(earlier, abs=GRAIN)]


async def test_what_is_to_be_exact_is_so_though_a_look_is_arranged_for_a_moment_before() -> None:
    look = Look()
    look.by(10.001)  # with what is due in the same grain
    look.by(10.003, exactly=True)
    await asyncio.sleep(100)
    assert look.at == [pytest.approx(10.003, abs=1e-6)]


@pytest.mark.parametrize("when", [0.3, 5.3])
async def test_what_is_over_is_not_looked_at(when: float) -> None:
    look = Look()
    look.by(when)
    look.look_no_more()
    look.look_no_more()  # nothing is due: that is no fault
    await asyncio.sleep(100)
    assert look.at == []


@pytest.mark.parametrize("when", [0.3, 5.3])
async def test_after_a_look_and_after_a_pause_another_can_be_arranged(when: float) -> None:
    look = Look()
    for round_ in range(1, 4):
        start = now()
        look.by(start + when / 2)
        look.look_no_more()
        look.by(start + when)
        await asyncio.sleep(50)
        assert len(look.at) == round_
        assert look.at[-1] == pytest.approx(start + when, abs=GRAIN)


async def test_each_look_may_arrange_the_next_as_heartbeats_do() -> None:
    look = Look(then=lambda: look.by(now() + 15))
    look.by(15)
    await asyncio.sleep(15 * 41 - 1)
    look.look_no_more()
    assert len(look.at) == 40
    assert all(15 <= later - at <= 15 + GRAIN for at, later in pairwise(look.at))


async def test_what_comes_for_an_earlier_time_does_not_lose_those_that_came_first() -> None:
    looks = [Look() for _ in range(20)]
    for index, look in enumerate(looks):
        look.by(60 - index * 2.5)
    await asyncio.sleep(100)
    assert [look.at for look in looks] == [
        [pytest.approx(60 - index * 2.5, abs=GRAIN)] for index in range(len(looks))
    ]


# -- many at once --------------------------------------------------------------------------------------------


async def test_thousands_that_are_due_at_once_take_several_turns_and_others_have_theirs_in_between() -> None:
    looked = 0
    begun = asyncio.Event()

    def count() -> None:
        nonlocal looked
        looked += 1
        begun.set()

    looks = [Look(then=count) for _ in range(40 * AT_A_TIME)]
    for look in looks:
        look.by(10.001)
    await begun.wait()
    seen = [0, looked]
    while seen[-1] < len(looks) and len(seen) < len(looks):
        await asyncio.sleep(0)
        seen.append(looked)
    assert max(later - before for before, later in pairwise(seen)) == AT_A_TIME
    assert all(len(look.at) == 1 for look in looks)
    assert now() <= 10.001 + GRAIN  # none of their turns waits for the clock


async def test_one_who_ends_others_that_are_due_with_it_does_not_have_them_looked_at() -> None:
    first: list[Look] = []

    def end_the_others() -> None:
        for look in looks:
            look.look_no_more()
        first.append(looks[0])

    looks = [Look(then=end_the_others) for _ in range(2 * AT_A_TIME)]
    for look in looks:
        look.by(5)
    await asyncio.sleep(100)
    assert sum(len(look.at) for look in looks) == len(first) == 1


async def test_one_that_raises_does_not_lose_the_others() -> None:
    failures: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context["exception"]))

    def fail() -> None:
        raise LookupError

    looks = [Look(then=fail if index % 7 == 0 else lambda: None) for index in range(3 * AT_A_TIME)]
    for index, look in enumerate(looks):
        look.by(5 + index % 3)
    await asyncio.sleep(100)
    assert all(len(look.at) == 1 for look in looks)
    assert {type(failure) for failure in failures} == {LookupError}
    assert len(failures) == len(range(0, len(looks), 7))


# -- clocks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("early", [1e-9, MILLISECOND])
@pytest.mark.parametrize("ahead", [0.02, 5.02])
async def test_a_timer_that_fires_early_stands_for_its_time(early: float, ahead: float) -> None:
    """Else a look that comes too early would be arranged again at once, and again, until it is time."""
    loop = Hasty(early)
    looks = [Look(loop) for _ in range(5)]
    for look in looks:
        look.by(ahead)
    await asyncio.sleep(100)
    assert all(len(look.told) == 1 and look.told[0] >= ahead for look in looks)
    assert loop.armed <= len(looks)


@pytest.mark.real_time(loop="uvloop")
async def test_uvloops_timers_call_for_one_look_each() -> None:
    start, over = now(), asyncio.Event()
    looks = [Look() for _ in range(30)]
    for index, look in enumerate(looks):
        look.by(start + 0.0107 * index)
    last = Look(then=over.set)
    last.by(start + FAR)
    await over.wait()
    assert [len(look.told) for look in looks] == [1] * len(looks)
    assert all(look.told[0] >= start + 0.0107 * index for index, look in enumerate(looks))
    assert last.told[0] >= start + FAR


# -- what is kept --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", [0.3, 5.3])
@pytest.mark.parametrize("how", ["over", "looked at"])
async def test_what_is_over_is_not_kept_alive(when: float, how: str) -> None:
    with no_collections():
        look = Look()
        known = weakref.ref(look)
        look.by(when)
        if how == "over":
            look.look_no_more()
        else:
            await asyncio.sleep(6)
        del look
        # asyncio keeps a timer that was taken back until its time, but not what it was to call.
        assert known() is None


async def test_nothing_of_the_context_in_which_the_first_came_is_seen_or_kept() -> None:
    class Request:
        """What a context may hold."""

    variable: ContextVar[Request] = ContextVar("variable")
    seen: list[Request | None] = []

    async def first() -> Look:
        request = Request()
        kept.append(weakref.ref(request))
        variable.set(request)
        look = Look()
        look.by(now() + 30)
        return look

    kept: list[weakref.ref[Request]] = []
    with no_collections():
        look = await asyncio.create_task(first())
        other = Look(then=lambda: seen.append(variable.get(None)))
        other.by(now() + 30)
        await turns()
        assert kept[0]() is None
        await asyncio.sleep(40)
    assert seen == [None]
    assert len(look.at) == 1


async def test_a_loop_has_one_timer_however_many_are_on_the_wheel() -> None:
    looks = [Look() for _ in range(1000)]
    for look in looks:
        look.by(60)
    assert turns_armed() == 1
    for look in looks:
        look.look_no_more()


async def test_one_that_is_far_away_does_not_gather_a_timer_for_each_that_comes_before() -> None:
    far = Look()
    far.by(3600)
    for _ in range(100):
        Look().by(now() + 2)
        await asyncio.sleep(3)
    assert turns_armed() <= 2
    far.look_no_more()


# -- whose it is ---------------------------------------------------------------------------------------------


def test_a_loop_has_one_wheel() -> None:
    with closing(VirtualTimeLoop()) as one, closing(VirtualTimeLoop()) as other:
        looks = [Look(loop) for loop in (one, other, one)]
        for look in looks:
            look.by(5)
        assert wheel_of(one) is not wheel_of(other)
        assert wheel_of(one) is wheel_of(one)
        for look in looks:
            look.look_no_more()


def test_loops_of_two_threads_do_not_meet() -> None:
    together = threading.Barrier(2)

    def run() -> tuple[Wheel, set[int]]:
        threads: set[int] = set()

        async def main() -> Wheel:
            looks = [Look(then=lambda: threads.add(threading.get_ident())) for _ in range(500)]
            for index, look in enumerate(looks):
                look.by(2 + index / 100)
                await asyncio.sleep(0)
            await asyncio.sleep(50)
            assert all(len(look.at) == 1 for look in looks)
            return wheel_of(asyncio.get_running_loop())

        together.wait(20)  # neither thread is news to the other's clock
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            wheel = runner.run(main())
        assert threads == {threading.get_ident()}
        return wheel, threads

    with ThreadPoolExecutor(2) as pool:
        (first, one), (second, other) = [each.result(60) for each in [pool.submit(run), pool.submit(run)]]
    assert first is not second
    assert not one & other


@pytest.mark.parametrize("left", ["nothing", "a stream"])
def test_a_loop_that_is_closed_is_not_kept_alive(left: str) -> None:
    loop = VirtualTimeLoop()
    look = Look(loop)
    look.by(3600)
    if left == "nothing":
        look.look_no_more()
    assert _wheel._latest is not None
    assert _wheel._latest[0]() is loop
    loop.close()
    known = weakref.ref(loop)
    del loop, look
    gc.collect()
    assert known() is None
