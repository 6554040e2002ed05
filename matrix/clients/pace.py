"""A client that reads slowly."""

from __future__ import annotations

import time
from dataclasses import dataclass

from matrix.clients.base import Client


@dataclass
class Pace:
    """To be called often: takes `size` bytes, `every` so many seconds."""

    client: Client
    size: int
    every: float
    _next: float = 0.0

    def __call__(self) -> None:
        """Take what is due.

        Raises:
            Closed: the server has ended the stream or the connection.
        """
        now = time.monotonic()
        if now >= self._next:
            self._next = max(self._next, now - self.every) + self.every
            self.client.take(self.size)
