"""An event that is set once. Unlike `asyncio.Event` it costs next to nothing while nobody waits."""

from __future__ import annotations

import asyncio


class Latch:
    """Closed for ever by `set()`; `wait()` returns from then on."""

    __slots__ = ("_is_set", "_waiters")

    def __init__(self, *, is_set: bool = False) -> None:
        self._is_set = is_set
        self._waiters: set[asyncio.Future[None]] | None = None

    def __bool__(self) -> bool:
        return self._is_set

    def set(self) -> None:
        """Let everybody who waits, and will wait, go on."""
        self._is_set = True
        for waiter in self._waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def future(self) -> asyncio.Future[None]:
        """A future of the running loop, done as soon as it is set."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._is_set:
            waiter.set_result(None)
            return waiter
        if self._waiters is None:
            self._waiters = set()
        self._waiters.add(waiter)
        waiter.add_done_callback(self._waiters.discard)
        return waiter

    async def wait(self) -> None:
        """Wait until it is set."""
        if not self._is_set:
            await self.future()
