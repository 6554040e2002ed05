"""Who may come in: the counters behind the limits, and the queue of those who wait."""

from __future__ import annotations

from collections import OrderedDict
from enum import StrEnum

from endwell.lifecycle._outcome import Cause
from endwell.settings import Limits


class Standing(StrEnum):
    """Where a visitor is."""

    INSIDE = "inside"
    WAITING = "waiting"
    """In the queue, for a place under the total."""
    GONE = "gone"


class Visitor:
    """One who was not refused. Only `Admission` changes it.

    Attributes:
        key: What it is counted by; None if it is not.
        standing: Where it is.
    """

    __slots__ = ("key", "standing")

    def __init__(self, key: object, standing: Standing) -> None:
        self.key = key
        self.standing = standing


class Admission:
    """Counts who is inside and who waits.

    While somebody waits, all places are taken: a place that becomes free is the next one's at once.

    Args:
        limits: `total`, `per_key` and `queue` are looked at.

    Attributes:
        inside: How many are inside.
    """

    __slots__ = ("_counts", "_limits", "_queue", "inside")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.inside = 0
        self._counts: dict[object, int] = {}
        # In an OrderedDict the first is found, and any is taken out, at the same price however many wait.
        self._queue: OrderedDict[Visitor, None] = OrderedDict()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._queue)

    @property
    def counts(self) -> dict[object, int]:
        """How many are inside or wait, by key; a copy. Empty without a `per_key`."""
        return self._counts.copy()

    def ask(self, key: object) -> Visitor | Cause:
        """Let somebody in, or into the queue; or say what is against it.

        Args:
            key: What it is counted by under `per_key`, hashable; None is not counted.
        """
        limits = self._limits
        count = 0
        if limits.per_key is None:
            key = None
        elif key is not None and (count := self._counts.get(key, 0)) >= limits.per_key:
            return Cause.OVER_KEY
        if limits.total is None or self.inside < limits.total:
            self.inside += 1
            visitor = Visitor(key, Standing.INSIDE)
        elif limits.queue is not None and len(self._queue) < limits.queue:
            visitor = Visitor(key, Standing.WAITING)
            self._queue[visitor] = None
        else:
            return Cause.OVER_TOTAL
        if key is not None:
            self._counts[key] = count + 1
        return visitor

    def leave(self, visitor: Visitor) -> Visitor | None:
        """Count somebody no more, wherever it is; that it has gone already is no error.

        Returns:
            Who has come in from the queue in its place.
        """
        standing, visitor.standing = visitor.standing, Standing.GONE
        if standing is Standing.GONE:
            return None
        if visitor.key is not None:
            self._discount(visitor.key)
        if standing is Standing.WAITING:
            del self._queue[visitor]
            return None
        return self._next()

    def _discount(self, key: object) -> None:
        self._counts[key] -= 1
        if not self._counts[key]:
            del self._counts[key]

    def _next(self) -> Visitor | None:
        """Give the place that has become free to the first who waits."""
        if not self._queue:
            self.inside -= 1
            return None
        visitor, _ = self._queue.popitem(last=False)
        visitor.standing = Standing.INSIDE
        return visitor
