"""One clock for the far deadlines of all streams of an event loop.

A timer of the loop's costs a stream four objects and half a kilobyte, and each that fires wakes the loop on
its own, which costs five times what is done then. So what is due in a second or more is due with everything
else in the same 64th of a second. What is due sooner has a timer of its own, to the millisecond.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import weakref
from contextvars import Context
from weakref import WeakKeyDictionary

FAR = 1.0
"""Seconds ahead from which on a deadline may be late by a `GRAIN`."""
GRAIN = 1 / 64
"""Seconds that are one slot. A power of two, so that slots have exact times."""
AT_A_TIME = 50
"""Timeds looked after in one turn of the loop: a millisecond, when they all have to send."""


class Wheel:
    """The streams of one event loop by when they are to be looked at. The loop's own timer keeps it alive."""

    __slots__ = ("__weakref__", "_context", "_next", "_order", "_slots", "_timer")

    def __init__(self) -> None:
        self._context = Context()  # nobody's: that of the stream that comes first would keep it alive
        self._slots: dict[int, dict[Timed, None]] = {}
        self._order: list[int] = []
        self._next = math.inf
        self._timer: asyncio.Handle | None = None

    def add(self, each: Timed, when: float) -> tuple[float, dict[Timed, None]]:
        """Have `each` looked at when `when` has come, and up to a `GRAIN` later; return when that is.

        And its slot, to take it out of: a slot that is empty stays until its time.
        """
        number = math.ceil(when / GRAIN)
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = {}
            heapq.heappush(self._order, number)
            self._wake(each.loop)
        slot[each] = None
        return number * GRAIN, slot

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        """Be called when the first slot is due, and not for a later one as well."""
        first = self._order[0] * GRAIN
        if first < self._next:
            if self._timer is not None:
                self._timer.cancel()
            self._next = first
            self._timer = loop.call_at(first, self._turn, loop, first, context=self._context)

    def _turn(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._next, self._timer = (
            -math.inf,
            None,
        )  # what is added meanwhile arranges nothing: that comes below
        # A timer may fire earlier than asked, by the clock's resolution: it stands for its time.
        now = max(loop.time(), due)
        try:
            self._look_after(now)
        finally:
            self._next = math.inf
            if self._order:
                self._wake(loop)

    def _look_after(self, now: float) -> None:
        """Look after those who are due, as many as one turn of the loop has room for."""
        left = AT_A_TIME
        while self._order:
            slot = self._slots[self._order[0]]
            if slot:
                if not left or self._order[0] * GRAIN > now:
                    return
                left -= 1
                each, _ = slot.popitem()
                each.tick(now)
            else:
                del self._slots[heapq.heappop(self._order)]


# Weak both ways: a stream that a closed loop has left on its wheel refers to that loop.
_wheels: WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[Wheel]] = WeakKeyDictionary()
_latest: tuple[weakref.ref[asyncio.AbstractEventLoop], weakref.ref[Wheel]] | None = None  # costs a tenth


def wheel_of(loop: asyncio.AbstractEventLoop) -> Wheel:
    """The one of an event loop; a new one if none was in use."""
    global _latest  # noqa: PLW0603 - swapped whole, so that loops of several threads may share it
    latest = _latest
    if latest is not None and latest[0]() is loop and (wheel := latest[1]()) is not None:
        return wheel
    known = _wheels.get(loop)
    wheel = None if known is None else known()
    if wheel is None:
        wheel = Wheel()
        _wheels[loop] = weakref.ref(wheel)
    _latest = (weakref.ref(loop), weakref.ref(wheel))
    return wheel


class Timed:
    """What is looked at in time: once at a time, and what is arranged for earlier will do.

    Attributes:
        loop: The event loop it runs on.
    """

    __slots__ = ("_due", "_slot", "_timer", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._due = math.inf
        self._slot: dict[Timed, None] | None = None
        self._timer: asyncio.Handle | None = None  # uvloop gives a plain one for what is due at once

    def tick(self, now: float) -> None:
        """It is time to look; `now` is the loop's time, or what the timer stands for."""
        raise NotImplementedError

    def look_by(self, when: float, now: float, *, exactly: bool) -> None:
        """See to it that `tick` is called at `when`; up to a `GRAIN` later, if that is far and may be so."""
        if self._due <= when:
            return
        self.look_no_more()
        if when - now >= FAR and not exactly:
            self._due, self._slot = wheel_of(self.loop).add(self, when)
        else:
            self._due = when
            self._timer = self.loop.call_at(when, self._is_time)

    def look_no_more(self) -> None:
        """Nothing is due."""
        self._due = math.inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        elif self._slot is not None:
            self._slot.pop(self, None)
            self._slot = None

    def has_come(self) -> None:
        """It is being looked at: nothing is arranged any more."""
        self._due, self._slot, self._timer = math.inf, None, None

    def _is_time(self) -> None:
        # As above: it may fire earlier than asked.
        self.tick(max(self.loop.time(), self._due))
