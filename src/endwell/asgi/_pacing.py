"""Backpressure for servers that have none.

daphne's `send`, and hypercorn's over HTTP/2, take whatever they are given, into memory, for a client that
does not read too. What a client has acknowledged is known to the kernel, so the library waits for that in
the server's place. All that follows from a blocked send (the send deadline, the bound on memory) then holds.

Over HTTP/2 other responses are acknowledged as well. That makes a client look better than it is, by what the
others took, and never worse.
"""

from __future__ import annotations

import asyncio

from endwell.asgi._client import ClientSocket

AHEAD = 1024 * 1024
"""Bytes sent and not yet acknowledged: more than a fast connection has under way (100 ms at 80 Mbit/s)."""
TURN = 0.01
"""Seconds between looks at a client that is behind."""


class Pacing:
    """Keeps what is sent to one client near to what it takes.

    Args:
        client: Its socket. If that cannot be reached, nothing is held up.
    """

    __slots__ = ("_ahead", "_client", "_taken")

    def __init__(self, client: ClientSocket) -> None:
        self._client = client
        self._ahead = 0
        self._taken: int | None = None

    async def sent(self, size: int) -> None:
        """Take note of `size` bytes sent, and wait until the client has taken enough of all."""
        self._ahead += size
        if self._ahead > AHEAD and self._taken is None:
            await self._begin()
        while self._ahead > AHEAD and self._look():  # noqa: ASYNC110
            await asyncio.sleep(TURN)  # the kernel tells nobody of an acknowledgement

    async def _begin(self) -> None:
        """Find the socket, and count from here on: what an earlier response had sent is not known."""
        located = asyncio.get_running_loop().create_future()
        self._client.locate(lambda at: None if located.done() else located.set_result(at))
        await located
        self._taken = self._client.acked()
        self._ahead = 0

    def _look(self) -> bool:
        """See how far the client is; whether it is too far behind."""
        taken = self._client.acked()
        if taken is None or self._taken is None:  # out of reach, or gone
            self._ahead = 0
            return False
        self._ahead -= taken - self._taken
        self._taken = taken
        return self._ahead > AHEAD
