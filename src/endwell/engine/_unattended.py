"""How many sources may go on without their clients at once."""

from __future__ import annotations

from endwell.observe import logger


class Unattended:
    """Counts the sources that go on after their clients have left.

    Args:
        most: How many may.
    """

    __slots__ = ("most", "running")

    def __init__(self, most: int) -> None:
        self.most = most
        self.running = 0

    def admit(self, stream: str) -> bool:
        """Count one more; False, and a line in the log, if there are too many."""
        if self.running >= self.most:
            logger.warning(
                "%d sources go on without their clients already, so that of stream %s is cancelled",
                *(self.most, stream),
            )
            return False
        self.running += 1
        return True

    def over(self) -> None:
        """One that was admitted is over."""
        self.running -= 1
