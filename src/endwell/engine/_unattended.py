"""How many sources may go on without their clients at once."""

from __future__ import annotations


class Unattended:
    """Counts the sources that go on after their clients have left.

    Args:
        most: How many may.
    """

    __slots__ = ("most", "running")

    def __init__(self, most: int) -> None:
        self.most = most
        self.running = 0

    def admit(self) -> bool:
        """Count one more; False if there are too many."""
        if self.running >= self.most:
            return False
        self.running += 1
        return True

    def over(self) -> None:
        """One that was admitted is over."""
        self.running -= 1
