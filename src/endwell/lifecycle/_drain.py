"""When each stream of a process that goes away is released, and by when all must be over."""

from __future__ import annotations

from endwell.settings import Policy

LAST = 0.25
"""Seconds at the end of a drain for what was given up to be put away; all there is, if it has no time."""
BATCH = 100
"""Streams that are released together: as many cleanups, and clients that come back, at a time."""
EVERY = 0.05
"""Seconds from one batch to the next. 2,000 streams are told within a second."""


class DrainPlan:
    """Spreads the end of an application's streams.

    Args:
        policy: The application's: its `drain` is what all of them have, its `cleanup` what is kept of it for
            those that take that long.
        now: When the drain begins.
        streams: How many there are.
    """

    __slots__ = ("_every", "_now", "_policy", "_released", "over_by")

    def __init__(self, policy: Policy, now: float, streams: int) -> None:
        self._policy = policy
        self._now = now
        self._released = 0
        batches = -(-streams // BATCH)
        # Half of the time that is not kept for cleanups, at most: who comes last is to have one as well.
        self._every = min(EVERY, _spare(policy) / 2 / max(1, batches))
        self.over_by = self._end(policy)
        """When the last of them is over."""

    def next(self, policy: Policy, *, says_goodbye: bool) -> tuple[float, float]:
        """When the next stream is to be released, and by when it must be over.

        Args:
            policy: The stream's own. It can make its drain shorter, not longer.
            says_goodbye: Its source has asked to be told, so as to end by itself: it has until the time that
                is kept for its cleanup.
        """
        over_by = min(self.over_by, self._end(policy))
        if says_goodbye:
            return min(over_by, self._now + min(_spare(policy), _spare(self._policy))), over_by
        turn = self._released // BATCH
        self._released += 1
        return min(over_by, self._now + turn * self._every), over_by

    def _end(self, policy: Policy) -> float:
        return self._now + max(policy.drain, LAST)


def _spare(policy: Policy) -> float:
    """Seconds of a drain that are not kept for the cleanup, and what comes after it."""
    return max(0.0, policy.drain - policy.cleanup - LAST)
