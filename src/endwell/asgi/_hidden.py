"""Noticing a client whose FIN the server does not read.

A server that has paused reading, because the client is behind or has sent a second request already, leaves
the FIN in the kernel, where nobody sees it before something is written. The kernel tells all the same:
EPOLLRDHUP on the connection's own descriptor.

It costs a system call, so it is for streams that have lived for a moment: short ones pay for being in a set.
One epoll object serves all streams of an event loop, and the loop waits for that alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import select
import socket
from collections.abc import Callable
from typing import Protocol
from weakref import WeakKeyDictionary

from endwell.asgi import _sockets
from endwell.asgi._client import ClientSocket

AGE = 0.1
"""Seconds between looks for streams that are new; at the second one that finds it, a stream is watched."""
AT_A_TIME = 200
"""Connections looked at in one turn of the loop: half a millisecond on uvicorn, two where they are found."""

_SUPPORTED = hasattr(select, "EPOLLRDHUP")
_EVENTS = select.EPOLLRDHUP | select.EPOLLET if _SUPPORTED else 0
# Once each: an event that turns out to be another descriptor's cannot be taken back, and would come for ever.


class Check(Protocol):
    """What is looked at on a connection while it is watched; each method on its socket."""

    every: float
    """Seconds between looks."""

    def begin(self, connection: socket.socket) -> None:
        """It is watched from now on."""

    def look(self, connection: socket.socket) -> bool:
        """Whether the client is gone."""

    def end(self, connection: socket.socket) -> None:
        """It is not watched any more."""


class Follower:
    """One stream whose client is watched.

    Args:
        client: Its socket.
        leave: Called once, on the loop, when the client has hung up, or is gone.
        check: What else is looked at.
    """

    __slots__ = ("_watch", "at", "check", "client", "leave")

    def __init__(self, client: ClientSocket, leave: Callable[[], None], check: Check | None) -> None:
        self.client = client
        self.leave = leave
        self.check = check
        self.at: int | None = None
        self._watch: _Watch | None = _watch_of(asyncio.get_running_loop()) if _SUPPORTED else None
        if self._watch is not None:
            self._watch.join(self)

    @property
    def over(self) -> bool:
        """Nobody wants to know any more."""
        return self._watch is None

    def is_gone(self) -> bool:
        """Whether the server has closed the connection without a word here, or the check says so."""
        if self.at is None:
            return False
        if self.client.is_closed(self.at):
            return True
        return self.check is not None and bool(self.client.on(self.at, self.check.look))

    def stop(self) -> None:
        """The stream is over."""
        if self._watch is None:
            return
        if self.check is not None and self.at is not None:
            self.client.on(self.at, self.check.end)
        self._watch.part(self)
        self._watch = None


class _Watch:
    """All followers of one event loop."""

    __slots__ = ("__weakref__", "_epoll", "_every", "_fresh", "_ripe", "_sweeping", "_ticking", "_watched")

    def __init__(self) -> None:
        self._fresh: set[Follower] = set()
        self._ripe: set[Follower] = set()
        self._ticking = self._sweeping = False
        self._every = math.inf
        self._epoll: select.epoll | None = None
        self._watched: dict[int, list[Follower]] = {}

    def join(self, follower: Follower) -> None:
        self._fresh.add(follower)
        if not self._ticking:
            self._ticking = True
            asyncio.get_running_loop().call_later(AGE, self._tick)

    def part(self, follower: Follower) -> None:
        self._fresh.discard(follower)
        self._ripe.discard(follower)
        if follower.at is not None:
            self._forget(follower, follower.at)

    def _tick(self) -> None:
        due, self._ripe, self._fresh = self._ripe, self._fresh, set()
        self._ticking = bool(self._ripe)
        if self._ticking:
            asyncio.get_running_loop().call_later(AGE, self._tick)
        for follower in due:
            follower.client.locate(functools.partial(self._add, follower))

    def _add(self, follower: Follower, descriptor: int | None) -> None:
        if follower.over:
            return
        if descriptor is None:
            if follower.client.is_closed():
                follower.leave()
            return
        if self._epoll is None:
            self._epoll = select.epoll()
            asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._look)
        follower.at = descriptor
        self._watched.setdefault(descriptor, []).append(follower)
        with contextlib.suppress(OSError):  # it is watched already, for another stream; or it is closed
            self._epoll.register(descriptor, _EVENTS)
        if follower.check is not None:
            follower.client.on(descriptor, follower.check.begin)
            self._every = min(self._every, follower.check.every)
            if not self._sweeping:
                self._sweeping = True
                asyncio.get_running_loop().call_later(self._every, self._sweep, [])

    def _forget(self, follower: Follower, descriptor: int) -> None:
        follower.at = None
        others = self._watched[descriptor]
        others.remove(follower)
        if others or self._epoll is None:
            return
        del self._watched[descriptor]
        with contextlib.suppress(OSError):  # closed: then nothing is registered any more
            self._epoll.unregister(descriptor)
        if not self._watched:
            self._close(self._epoll)

    def _sweep(self, left: list[Follower]) -> None:
        """Look after everybody; a few at a time, so that other requests are not held up."""
        left = left or [follower for followers in self._watched.values() for follower in followers]
        for follower in left[-AT_A_TIME:]:
            if follower.is_gone():
                self._leave(follower)
        del left[-AT_A_TIME:]
        if left:
            asyncio.get_running_loop().call_soon(self._sweep, left)
            return
        self._sweeping = bool(self._watched)
        if self._sweeping:
            asyncio.get_running_loop().call_later(self._every, self._sweep, [])

    def _close(self, epoll: select.epoll) -> None:
        self._epoll = None
        with contextlib.suppress(RuntimeError):  # no loop runs any more
            asyncio.get_running_loop().remove_reader(epoll.fileno())
        epoll.close()

    def _look(self) -> None:
        if self._epoll is None:
            return
        events = self._epoll.poll(0)
        for descriptor, _ in events:
            # A number may be another connection's by now. Whoever had it before has lost its client anyway.
            for follower in [*self._watched.get(descriptor, ())]:
                if follower.client.on(descriptor, _sockets.has_hung_up) is not False:
                    self._leave(follower)
        if not events:
            self._look_for_closed()

    def _look_for_closed(self) -> None:
        """What happened is over: the server was quicker, and has closed the connection."""
        for descriptor, followers in [*self._watched.items()]:
            for follower in [*followers]:
                if follower.client.is_closed(descriptor):
                    self._leave(follower)

    def _leave(self, follower: Follower) -> None:
        if follower.at is not None:
            self._forget(follower, follower.at)
            follower.leave()


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, _Watch] = WeakKeyDictionary()


def _watch_of(loop: asyncio.AbstractEventLoop) -> _Watch:
    watch = _watches.get(loop)
    if watch is None:
        watch = _watches[loop] = _Watch()
    return watch
