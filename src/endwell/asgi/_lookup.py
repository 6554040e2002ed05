"""Looking connections up among the process's descriptors, off the loop, many at a time."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import threading
import time
from collections.abc import Callable
from typing import TypeAlias
from weakref import WeakKeyDictionary

from endwell.asgi import _sockets
from endwell.asgi._sockets import Address

LIMIT = 1_000
"""Descriptors beyond which nothing is looked up: 1,000 take 3 ms of a processor, each time."""
REST = 60.0
"""Seconds for which a port that nobody here serves (as in a test client's scope) is not looked for again."""

APART = 0.5
"""Seconds between the beginnings of two searches: however many streams begin, 0.6 % of a processor."""

Then: TypeAlias = Callable[[int | None], None]

_resting: dict[int, float] = {}
_lookups: WeakKeyDictionary[asyncio.AbstractEventLoop, Lookups] = WeakKeyDictionary()


class Lookups:
    """The look-ups of one event loop: one thread at a time, for all who ask meanwhile."""

    __slots__ = ("__weakref__", "_asked", "_busy", "_is_urgent", "_next", "_timer")

    def __init__(self) -> None:
        self._asked: list[tuple[Address, Then]] = []
        self._busy = self._is_urgent = False
        self._next = -math.inf
        self._timer: asyncio.TimerHandle | None = None

    def ask(self, address: Address, then: Then, *, is_urgent: bool = False) -> None:
        """Call `then` on the loop with the descriptor of a connection; with None if it is not to be had."""
        self._asked.append((address, then))
        self._is_urgent = self._is_urgent or is_urgent
        if not self._busy:
            self._begin()
        elif self._is_urgent and self._timer is not None:
            self._timer.cancel()
            self._begin()

    def _begin(self) -> None:
        self._busy = True
        loop = asyncio.get_running_loop()
        wait = 0.0 if self._is_urgent else self._next - loop.time()
        # All who ask in this turn of the loop are to be in it.
        self._timer = loop.call_later(max(0.0, wait), self._search)

    def _search(self) -> None:
        self._timer = None
        batch, self._asked = self._asked, []
        limit, self._is_urgent = math.inf if self._is_urgent else LIMIT, False
        loop = asyncio.get_running_loop()
        self._next = loop.time() + APART
        work = functools.partial(self._work, loop, batch, limit)
        thread = threading.Thread(target=work, name="endwell look-up", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads to be had
            loop.call_soon(self._answer, batch, {})

    def _work(self, loop: asyncio.AbstractEventLoop, batch: list[tuple[Address, Then]], limit: float) -> None:
        found: dict[Address, int] = {}
        with contextlib.suppress(OSError):
            found = _find({address for address, _ in batch}, limit)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(self._answer, batch, found)

    def _answer(self, batch: list[tuple[Address, Then]], found: dict[Address, int]) -> None:
        self._busy = False
        for address, then in batch:
            then(found.get(address))
        if self._asked:
            self._begin()


def look_up(address: Address, then: Then, *, is_urgent: bool = False) -> None:
    """Call `then` on the running loop, later, with the descriptor of a connection, or with None.

    It is None, at once, where a look-up is known to be in vain. What is urgent is looked up at once, whatever
    it costs: all that is asked for in one turn of the loop costs no more than one.
    """
    if not is_urgent and _resting.get(address.server_port, 0.0) > time.monotonic():
        then(None)
        return
    loop = asyncio.get_running_loop()
    lookups = _lookups.get(loop)
    if lookups is None:
        lookups = _lookups[loop] = Lookups()
    lookups.ask(address, then, is_urgent=is_urgent)


def _find(wanted: set[Address], limit: float) -> dict[Address, int]:
    too_many = len(_sockets.descriptors()) > limit
    seen = _sockets.Sockets({}, {}, set()) if too_many else _sockets.scan()
    until = time.monotonic() + REST
    _resting.update((each.server_port, until) for each in wanted if each.server_port not in seen.ports)
    return seen.connections
