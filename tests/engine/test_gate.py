"""The way in: a place is one stream's, and comes back, whatever becomes of whoever waits for it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endwell.engine._gate import Gate, Place, Ticket
from endwell.engine._pressure import EVERY, Pressure
from endwell.lifecycle import Cause
from endwell.settings import Limits
from tests.virtual_time import VirtualTimeLoop


def gate(**limits: Any) -> Gate:
    return Gate(Limits(**limits))


def ticket(gate: Gate, key: object = None) -> Ticket:
    answer = gate.ask(key)
    assert isinstance(answer, Ticket)
    return answer


def place(gate: Gate, key: object = None) -> Place:
    answer = gate.ask(key)
    assert isinstance(answer, Place)
    return answer


def loop() -> VirtualTimeLoop:
    running = asyncio.get_running_loop()
    assert isinstance(running, VirtualTimeLoop)
    return running


def now() -> float:
    return loop().time()


def is_empty(gate: Gate) -> bool:
    return (gate.inside, gate.waiting, gate._places, gate._admission.counts) == (0, 0, {}, {})


# -- asking --------------------------------------------------------------------------------------------------


async def test_over_the_total_or_the_key_one_is_refused_at_once() -> None:
    two = gate(total=2, per_key=1)
    ann = ticket(two, "ann")
    assert two.ask("ann") is Cause.OVER_KEY
    bob = ticket(two, "bob")
    assert two.ask("cid") is Cause.OVER_TOTAL
    ann.leave()
    ticket(two, "cid").leave()
    bob.leave()
    assert is_empty(two)


async def test_a_ticket_is_given_back_once() -> None:
    two = gate(total=2)
    first, second = ticket(two), ticket(two)
    first.leave()
    first.leave()
    assert two.inside == 1
    second.leave()
    assert is_empty(two)


async def test_a_key_that_cannot_be_counted_by_takes_no_place() -> None:
    one = gate(total=1, per_key=1)
    with pytest.raises(TypeError, match="unhashable"):
        one.ask(["ann"])
    assert is_empty(one)


# -- waiting -------------------------------------------------------------------------------------------------


async def test_whoever_waits_comes_in_when_somebody_leaves_in_the_order_of_asking() -> None:
    one = gate(total=1, queue=3)
    first = ticket(one)
    diary: list[tuple[float, str]] = []

    async def visit(name: str, waiting: Place) -> None:
        mine = await waiting.wait()
        assert isinstance(mine, Ticket)
        diary.append((now(), name))
        await asyncio.sleep(1)
        mine.leave()

    async with asyncio.TaskGroup() as visits:
        for name in ("ann", "bob", "cid"):
            visits.create_task(visit(name, place(one)))
        assert one.ask() is Cause.OVER_TOTAL
        await asyncio.sleep(2)
        first.leave()
    assert diary == [(2, "ann"), (3, "bob"), (4, "cid")]
    assert is_empty(one)


async def test_whoever_has_waited_long_enough_is_refused() -> None:
    one = gate(total=1, queue=1, wait=3)
    inside = ticket(one)
    assert await place(one).wait() is Cause.OVER_TOTAL
    assert (now(), one.waiting) == (3, 0)
    inside.leave()
    assert is_empty(one)


async def test_the_time_begins_with_the_place() -> None:
    one = gate(total=1, queue=1, wait=3)
    inside, waiting = ticket(one), place(one)
    await asyncio.sleep(2)
    assert await waiting.wait() is Cause.OVER_TOTAL
    assert now() == 3
    inside.leave()
    assert is_empty(one)


async def test_a_place_that_nobody_waits_for_is_given_up_in_time() -> None:
    one = gate(total=1, queue=1, wait=3)
    inside, _ = ticket(one), place(one)
    await asyncio.sleep(3)
    assert one.waiting == 0
    inside.leave()
    assert is_empty(one)


async def test_an_answer_may_be_there_before_anybody_waits_for_it() -> None:
    one = gate(total=1, queue=1)
    inside, waiting = ticket(one), place(one)
    inside.leave()
    assert waiting._timer.cancelled()
    mine = await waiting.wait()
    assert isinstance(mine, Ticket)
    assert one.inside == 1
    mine.leave()
    assert is_empty(one)


async def test_who_withdraws_says_why_and_leaves_its_place_to_others() -> None:
    one = gate(total=1, queue=1)
    inside, waiting = ticket(one), place(one)
    waiting.withdraw()
    assert one.waiting == 0
    assert await waiting.wait() is Cause.DISCONNECT
    other = place(one)
    other.withdraw(Cause.STOP)
    other.withdraw(Cause.DRAINING)
    assert await other.wait() is Cause.STOP
    inside.leave()
    assert is_empty(one)


async def test_withdrawing_takes_nothing_from_whoever_is_in() -> None:
    one = gate(total=1, queue=1)
    inside, waiting = ticket(one), place(one)
    inside.leave()
    mine = await waiting.wait()
    assert isinstance(mine, Ticket)
    waiting.withdraw()
    assert one.inside == 1
    mine.leave()
    assert is_empty(one)


# -- the process goes away -----------------------------------------------------------------------------------


async def test_a_gate_that_is_shut_refuses_everybody_who_waits_or_asks() -> None:
    one = gate(total=1, queue=9)
    inside = ticket(one)
    waiting = [asyncio.create_task(place(one).wait()) for _ in range(9)]
    await asyncio.sleep(1)
    one.shut()
    assert [await each for each in waiting] == [Cause.DRAINING] * 9
    assert one.ask() is Cause.DRAINING
    assert (now(), one.inside) == (1, 1)
    inside.leave()
    assert is_empty(one)


async def test_whoever_was_let_in_but_has_not_come_in_is_refused_too() -> None:
    one = gate(total=1, queue=2)
    inside = ticket(one)
    waiting = [asyncio.create_task(place(one).wait()) for _ in range(2)]
    await asyncio.sleep(1)
    inside.leave()
    one.shut()
    assert [await each for each in waiting] == [Cause.DRAINING] * 2
    assert is_empty(one)


async def test_a_gate_that_is_opened_again_lets_people_in() -> None:
    one = gate(total=1)
    one.shut()
    assert one.ask() is Cause.DRAINING
    one.open()
    ticket(one).leave()


# -- memory --------------------------------------------------------------------------------------------------


class Memory:
    """A machine of 100 kB, of which so much is used."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.uses(10)

    def uses(self, kilobytes: int) -> None:
        (self._root / "meminfo").write_text(f"MemTotal: 100 kB\nMemAvailable: {100 - kilobytes} kB\n")

    def pressure(self) -> Pressure:
        return Pressure(0.5, cgroup=self._root, proc=self._root, clock=now)


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory(tmp_path)


async def test_while_memory_is_short_nobody_is_let_in(memory: Memory) -> None:
    everybody = Gate(Limits(), pressure=memory.pressure())
    stays = ticket(everybody)
    memory.uses(60)
    await asyncio.sleep(EVERY)
    assert everybody.ask() is Cause.MEMORY
    memory.uses(40)
    await asyncio.sleep(EVERY)
    ticket(everybody).leave()
    stays.leave()
    assert is_empty(everybody)


async def test_while_memory_is_short_no_place_is_given_to_those_who_wait(memory: Memory) -> None:
    two = Gate(Limits(total=2, queue=5000), pressure=memory.pressure())
    inside = [ticket(two), ticket(two)]
    waiting = [asyncio.create_task(place(two).wait()) for _ in range(5000)]
    memory.uses(60)
    await asyncio.sleep(EVERY)
    inside[0].leave()
    assert {await each for each in waiting} == {Cause.MEMORY}
    assert two.inside == 1
    inside[1].leave()
    assert is_empty(two)


async def test_the_share_is_that_of_the_limits() -> None:
    assert gate(memory=1).ask() is not Cause.MEMORY
    assert gate(memory=1e-9).ask() is Cause.MEMORY


# -- everything at once --------------------------------------------------------------------------------------

HAPPENINGS = ("a place becomes free", "it is cancelled", "it withdraws", "the time is up", "the gate is shut")


@pytest.mark.parametrize("turns", [0, 1, 2], ids=lambda turns: f"{turns} turns between")
@pytest.mark.parametrize("happenings", list(itertools.permutations(HAPPENINGS, 3)), ids=", ".join)
async def test_whatever_comes_first_the_place_comes_back(happenings: tuple[str, ...], turns: int) -> None:
    one = gate(total=1, per_key=1, queue=2, wait=1)
    inside, waiting = ticket(one, "ann"), place(one, "bob")
    bob = asyncio.create_task(waiting.wait())
    cid = asyncio.create_task(place(one, "cid").wait())
    await asyncio.sleep(0.5)
    does: dict[str, Callable[[], Any]] = {
        "a place becomes free": inside.leave,
        "it is cancelled": bob.cancel,
        "it withdraws": waiting.withdraw,
        "the time is up": lambda: loop().advance(1),
        "the gate is shut": one.shut,
    }
    for what in happenings:
        does[what]()
        for _ in range(turns):
            await asyncio.sleep(0)
    answers = await asyncio.gather(bob, cid, return_exceptions=True)
    for answer in [inside, *answers]:
        if isinstance(answer, Ticket):
            answer.leave()
        else:
            assert isinstance(answer, Cause | asyncio.CancelledError)
    assert is_empty(one)


class Visit:
    """One stream: asks, waits, stays, leaves; or is stopped somewhere on its way."""

    def __init__(self, gate: Gate, key: str | None, stays: float) -> None:
        self.key = key
        self.inside = False
        self.asked: Ticket | Place | Cause | None = None
        self.task = asyncio.create_task(self._live(gate, stays))

    async def _live(self, gate: Gate, stays: float) -> None:
        self.asked = gate.ask(self.key)
        answer = await self.asked.wait() if isinstance(self.asked, Place) else self.asked
        if isinstance(answer, Ticket):
            self.inside = True
            try:
                await asyncio.sleep(stays)
            finally:
                self.inside = False
                answer.leave()

    def withdraw(self) -> None:
        if isinstance(self.asked, Place):
            self.asked.withdraw()


happenings = st.lists(
    st.tuples(
        st.sampled_from(["asks", "asks", "asks", "is cancelled", "withdraws", "shut", "open"]),
        st.sampled_from([None, "ann", "bob", "cid"]),
        st.integers(0, 3),
        st.sampled_from(["now", "a turn later", 0.5, 1]),
    ),
    max_size=40,
)


@settings(max_examples=max(200, settings().max_examples))
@given(
    st.integers(1, 3),
    st.none() | st.integers(1, 2),
    st.none() | st.integers(1, 4),
    happenings,
)
async def test_any_visits(total: int, per_key: int | None, queue: int | None, life: list[Any]) -> None:
    some = gate(total=total, per_key=min(per_key, total) if per_key else None, queue=queue, wait=1)
    visits: list[Visit] = []
    for what, key, number, then in life:
        if what == "asks":
            visits.append(Visit(some, key, stays=number / 2))
        elif what in ("shut", "open"):
            getattr(some, what)()
        elif visits:
            visit = visits[-1 - number % len(visits)]
            visit.task.cancel() if what == "is cancelled" else visit.withdraw()
        if then != "now":
            await asyncio.sleep(0 if then == "a turn later" else then)
        check(some, visits)
    await asyncio.wait({asyncio.create_task(asyncio.sleep(0)), *(visit.task for visit in visits)})
    assert is_empty(some)


def check(gate: Gate, visits: list[Visit]) -> None:
    """What can be seen from outside keeps to the limits."""
    inside = [visit.key for visit in visits if visit.inside]
    total, per_key = gate.limits.total, gate.limits.per_key
    assert len(inside) <= gate.inside <= (total or 0)
    assert gate.waiting <= (gate.limits.queue or 0)
    assert gate.waiting == 0 or gate.inside == total
    if per_key is not None:
        assert all(inside.count(key) <= per_key for key in inside if key is not None)
