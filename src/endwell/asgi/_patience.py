"""Readers that are slow but alive, whom the kernel would take for vanished.

TCP_USER_TIMEOUT ends a connection whose window has been closed for so long, and to the kernel a window that
opens by less than the next block (up to 64 KiB) is still closed: a reader of 4 kbit/s with a full window is
cut after 30 s, though it has read all the time. So while a stream lives whose client has its window closed,
the timeout is lifted, and what the client acknowledges is looked at instead.
"""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable

from endwell.asgi import _kernel, _sockets

LOOKS = 4
"""Looks within the timeout: the second one in a row that sees a closed window comes in good time."""
BEYOND = 2.0
"""A client that takes nothing is ended after this many times `vanished`, and not before the policy's `send`
has had its chance: it is that which says `slow_client`."""
AFTER_THE_END = 10.0
"""What a finished stream has left in the kernel's buffer may take this many times `vanished` for a block."""


def look_every(vanished: float) -> float:
    """Seconds between looks at a client."""
    return vanished / LOOKS


class Patience:
    """Watches over one client that has `vanished` as its timeout, from when something waits for it.

    Args:
        vanished: Seconds.
        send: The policy's; None waits for a slow client for ever.
        clock: The time in seconds.
    """

    __slots__ = ("_acked", "_clock", "_lifted_at", "_limit", "_moved_at", "_vanished")

    def __init__(
        self,
        vanished: float,
        *,
        send: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._limit = math.inf if send is None else max(BEYOND * vanished, send + vanished)
        self._vanished = vanished
        self._acked = -1
        self._moved_at = 0.0
        self._lifted_at: float | None = None

    def look(self, connection: socket.socket) -> bool:
        """Lift the timeout while the client is slow but lives; whether nothing was taken for too long.

        It lives if it has acknowledged all that its window had room for, or something since the last look.
        What is on its way and not acknowledged from one look to the next is the kernel's affair again.
        """
        progress = _sockets.progress(connection)
        if progress is None:
            return False
        now = self._clock()
        waits = progress.unsent > 0
        lives = progress.unacked == 0 or progress.acked != self._acked
        if progress.acked != self._acked or not waits:
            self._acked, self._moved_at = progress.acked, now
        if self._lifted_at is None:
            if waits and lives:
                self._lifted_at = now
                _kernel.set_timeout(connection, 0)
            return False
        if not (waits and lives):
            self._lifted_at = None
            _kernel.set_timeout(connection, self._vanished)
        return now - self._moved_at >= self._limit

    def end(self, connection: socket.socket) -> None:
        """Put the timeout back; it counts from when the window was first closed."""
        if self._lifted_at is not None:
            closed = self._clock() - self._lifted_at + look_every(self._vanished)
            self._lifted_at = None
            _kernel.set_timeout(connection, closed + AFTER_THE_END * self._vanished)
