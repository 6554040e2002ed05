"""The way in: who may start a stream, who waits for a place, and who is refused."""

from __future__ import annotations

import asyncio

from endwell.engine._latch import Latch
from endwell.engine._pressure import Pressure
from endwell.lifecycle import Admission, Cause, Standing, Visitor
from endwell.settings import Limits


class Ticket:
    """A place inside."""

    __slots__ = ("_gate", "_visitor")

    def __init__(self, gate: Gate, visitor: Visitor) -> None:
        self._gate = gate
        self._visitor = visitor

    def leave(self) -> None:
        """Give the place back, and let the next one in; once, however often it is called."""
        self._gate.leave(self._visitor)


class Place:
    """A place in the queue. Whoever is given it awaits `wait`, or calls `withdraw`.

    An answer is taken when `wait` returns, and not before: until then a ticket can go back, also in the very
    turn of the loop in which it was given.
    """

    __slots__ = ("_answer", "_answered", "_gate", "_timer", "_visitor")

    def __init__(self, gate: Gate, visitor: Visitor, seconds: float) -> None:
        self._gate = gate
        self._visitor = visitor
        self._answer: Ticket | Cause | None = None
        self._answered = Latch()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, self.withdraw, Cause.OVER_TOTAL)

    async def wait(self) -> Ticket | Cause:
        """Wait for a place inside, at most for the `wait` of the limits; cancelled, it withdraws.

        Returns:
            The ticket; or what came in between: the time was up, memory was short, the process is going away,
            or what `withdraw` was told.
        """
        try:
            await self._answered.wait()
        except BaseException:
            self.withdraw()
            raise
        self._gate.forget(self._visitor)
        assert self._answer is not None
        return self._answer

    def withdraw(self, why: Cause = Cause.DISCONNECT) -> None:
        """Wait no longer; nothing happens if `wait` has returned, or somebody was faster.

        Args:
            why: What `wait` is to return.
        """
        if self._gate.forget(self._visitor):
            self.answer(why)
            self._gate.leave(self._visitor)

    def answer(self, answer: Ticket | Cause) -> None:
        """Say to whoever waits what has come of it."""
        self._timer.cancel()
        self._answer = answer
        self._answered.set()


class Gate:
    """Lets streams in as far as limits allow it. Used on one event loop.

    Args:
        limits: How many may be inside, and how many wait.
        pressure: Whether memory is short; by default that of `limits.memory`.

    Attributes:
        limits: The same.
    """

    __slots__ = ("_admission", "_places", "_pressure", "_shut", "limits")

    def __init__(self, limits: Limits, *, pressure: Pressure | None = None) -> None:
        if pressure is None and limits.memory is not None:
            pressure = Pressure(limits.memory)
        self.limits = limits
        self._pressure = pressure
        self._admission = Admission(limits)
        self._places: dict[Visitor, Place] = {}
        """Of those whose `wait` has not returned."""
        self._shut = False

    @property
    def inside(self) -> int:
        """How many are inside."""
        return self._admission.inside

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._admission.waiting

    def ask(self, key: object = None) -> Ticket | Place | Cause:
        """Ask to come in.

        Args:
            key: What the stream is counted by, hashable; None is not counted.

        Returns:
            A ticket, to be given back; a place in the queue; or why neither was to be had.
        """
        if self._shut:
            return Cause.DRAINING
        if self._is_short_of_memory():
            return Cause.MEMORY
        visitor = self._admission.ask(key)
        if isinstance(visitor, Cause):
            return visitor
        if visitor.standing is Standing.INSIDE:
            return Ticket(self, visitor)
        place = self._places[visitor] = Place(self, visitor, self.limits.wait)
        return place

    def leave(self, visitor: Visitor) -> None:
        """Count somebody no more, and let the next one in."""
        successor = self._admission.leave(visitor)
        while successor is not None and self._is_short_of_memory():
            self._places.pop(successor).answer(Cause.MEMORY)
            successor = self._admission.leave(successor)
        if successor is not None:
            self._places[successor].answer(Ticket(self, successor))

    def forget(self, visitor: Visitor) -> bool:
        """Whether somebody's answer was still to be taken; it no more is."""
        return self._places.pop(visitor, None) is not None

    def shut(self) -> None:
        """Refuse everybody who waits, and who asks from now on."""
        self._shut = True
        for place in list(self._places.values()):
            place.withdraw(Cause.DRAINING)

    def open(self) -> None:
        """Let streams in again."""
        self._shut = False

    def _is_short_of_memory(self) -> bool:
        return self._pressure is not None and self._pressure.is_high()
