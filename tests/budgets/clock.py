"""One clock for a whole process, which moves only when it is told to."""

from __future__ import annotations


class Clock:
    """Seconds, from 0."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now = round(self._now + seconds, 9)


CLOCK = Clock()
