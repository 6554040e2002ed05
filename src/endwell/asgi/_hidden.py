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
import math
import select
from collections.abc import Callable, Iterator
from contextvars import Context
from typing import Any, Protocol
from weakref import WeakKeyDictionary, ref

from endwell.asgi import _sockets
from endwell.asgi._follower import Follower

AGE = 0.1
"""Seconds between looks for streams that are new; at the second one that finds it, a stream is watched."""
TURN = 0.005
"""Seconds in which a server does what there is to be done about a FIN that it sees itself: most of them."""
WAITS = 3
"""Times that this is waited for again while the loop is late: when many clients leave at once, they are told
first of all."""
AT_A_TIME = 200
"""Connections looked at in one turn of the loop: half a millisecond on uvicorn, two where they are found."""
BEGIN = 50
"""Connections taken up in one turn: half a millisecond too."""
PAUSE = 1e-5
"""Seconds for each connection between looks for closed ones, which so take a twentieth of the time."""

_SUPPORTED = hasattr(select, "EPOLLRDHUP")
_EVENTS = select.EPOLLRDHUP | select.EPOLLET if _SUPPORTED else 0
# Once each: an event that turns out to be another descriptor's cannot be taken back, and would come for ever.


class Young(Protocol):
    """A stream that is new: nothing is made for it before it has lived for a moment."""

    @property
    def client(self) -> Follower:
        """Its client, to be watched from now on."""


class Watch:
    """All clients of one event loop whose streams last."""

    __slots__ = (
        "__weakref__",
        "_closed",
        "_context",
        "_epoll",
        "_every",
        "_fresh",
        "_hung_up",
        "_looking",
        "_not_before",
        "_ripe",
        "_served",
        "_sweeping",
        "_ticking",
        "_watched",
    )

    def __init__(self) -> None:
        self._context = Context()
        self._fresh: set[Young] = set()
        self._ripe: set[Young] = set()
        self._ticking = self._sweeping = self._looking = self._closed = False
        self._not_before = -math.inf
        self._every = math.inf
        self._epoll: select.epoll | None = None
        self._watched: dict[int, Follower] = {}  # the last of those on each connection
        self._hung_up: set[int] = set()
        self._served: set[int] = set()

    def join(self, young: Young) -> None:
        """A stream begins."""
        self._fresh.add(young)
        if not self._ticking:
            self._ticking = True
            self._call_later(AGE, self._tick)

    def part(self, young: Young) -> None:
        """It is over; if it is watched by now, that is its client's affair: `Follower.stop`."""
        self._fresh.discard(young)
        self._ripe.discard(young)

    def _tick(self) -> None:
        """Watch those that were there the last time; a few in one turn, so that others are not held up."""
        left = BEGIN
        try:
            while self._ripe and left:
                left -= self._ripe.pop().client.follow(self)
        finally:  # whatever goes wrong with one
            if self._ripe:
                asyncio.get_running_loop().call_soon(self._tick)
            else:
                self._ripe, self._fresh = self._fresh, self._ripe
                self._ticking = bool(self._ripe)
                if self._ticking:
                    self._call_later(AGE, self._tick)

    def _call_later(self, seconds: float, act: Callable[..., None], *arguments: Any) -> None:
        # In nobody's context: that of the stream that came first would live as long as any of them.
        asyncio.get_running_loop().call_later(seconds, act, *arguments, context=self._context)

    # -- which of them are watched -----------------------------------------------------------------------

    def add(self, follower: Follower, descriptor: int) -> bool:
        """Watch a client from now on, at a descriptor; False if that has to wait: no descriptor is free."""
        try:
            epoll = self._epoll or self._open()
        except OSError:
            self.join(follower)
            return False
        follower.beside = self._watched.get(descriptor)
        self._watched[descriptor] = follower
        with contextlib.suppress(OSError):  # it is closed
            try:
                epoll.register(descriptor, _EVENTS)
            except FileExistsError:  # for another stream: what that was told, this one is to be told too
                epoll.modify(descriptor, _EVENTS)
        every = follower.every
        if every is not None:
            self._every = min(self._every, every)
            if not self._sweeping:
                self._sweeping = True
                self._call_later(self._every, self._sweep, [])
        return True

    def _open(self) -> select.epoll:
        self._epoll = select.epoll()
        asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._look)
        return self._epoll

    def remove(self, follower: Follower, descriptor: int) -> None:
        """Watch it no more."""
        first = self._watched[descriptor]
        if first is not follower:
            while first.beside is not follower:
                assert first.beside is not None
                first = first.beside
            first.beside = follower.beside
        elif follower.beside is not None:
            self._watched[descriptor] = follower.beside
        else:
            del self._watched[descriptor]
            self._unregister(follower, descriptor)
        follower.beside = None

    def _unregister(self, follower: Follower, descriptor: int) -> None:
        if self._epoll is None:
            return
        if not follower.is_closed():  # then nothing is registered any more
            with contextlib.suppress(OSError):  # it may be all the same: not every server says so
                self._epoll.unregister(descriptor)
        if not self._watched:
            self._close(self._epoll)

    def _close(self, epoll: select.epoll) -> None:
        self._epoll = None
        with contextlib.suppress(RuntimeError):  # no loop runs any more
            asyncio.get_running_loop().remove_reader(epoll.fileno())
        epoll.close()

    def _on(self, descriptor: int) -> Iterator[Follower]:
        """Those on one connection."""
        follower = self._watched.get(descriptor)
        while follower is not None:
            following = follower.beside
            yield follower
            follower = following

    # -- looking -----------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Something has happened: see what, when the server has had its turn."""
        if self._epoll is None:
            return
        events = self._epoll.poll(0)
        self._hung_up.update(descriptor for descriptor, _ in events)
        # Without an event, what happened is over: the server was quicker, and has closed the connection.
        self._closed = self._closed or not events
        self._look_again()

    def _look_again(self) -> None:
        if not self._looking:
            self._looking = True
            self._see_in_a_turn(0)

    def _see_in_a_turn(self, waits: int) -> None:
        due = asyncio.get_running_loop().time() + TURN
        self._call_later(TURN, self._see, due, waits)

    def _see(self, due: float, waits: int) -> None:
        if waits < WAITS and asyncio.get_running_loop().time() > due + TURN:
            self._see_in_a_turn(waits + 1)  # the loop is late, so the server's turn has not come yet
            return
        self._looking = False
        before, self._served = self._served, set()
        hung_up, self._hung_up = self._hung_up, set()
        for descriptor in hung_up | before:
            for follower in self._on(descriptor):
                if follower.is_known:
                    continue
                if follower.is_closing and descriptor not in before:
                    self._served.add(descriptor)  # its server will say so; but perhaps not to this one
                # A number may be another connection's by now: whoever had it has lost its client anyway.
                elif follower.on(descriptor, _sockets.has_hung_up) is not False:
                    follower.leave()
        now = asyncio.get_running_loop().time()
        if self._closed and now >= self._not_before:
            self._closed = False
            self._not_before = now + PAUSE * len(self._watched)
            self._look_for_closed([*self._watched])
        if self._served or self._closed:
            self._look_again()

    def _look_for_closed(self, left: list[int]) -> None:
        try:
            for _ in range(min(AT_A_TIME, len(left))):
                descriptor = left.pop()
                for follower in self._on(descriptor):
                    if not (follower.is_open or follower.is_known) and follower.is_closed(descriptor):
                        follower.leave()
        finally:
            if left:
                asyncio.get_running_loop().call_soon(self._look_for_closed, left)

    def _sweep(self, left: list[Follower]) -> None:
        """Look after everybody; a few at a time, so that other requests are not held up."""
        left = left or [follower for descriptor in self._watched for follower in self._on(descriptor)]
        try:
            for _ in range(min(AT_A_TIME, len(left))):
                follower = left.pop()
                if follower.is_gone():
                    follower.leave()
        finally:
            if left:
                asyncio.get_running_loop().call_soon(self._sweep, left)
            else:
                self._sweeping = bool(self._watched)
                if self._sweeping:
                    self._call_later(self._every, self._sweep, [])


# Weak both ways: a stream that a closed loop has left in its watch refers to that loop. While there are
# any to watch, the loop's own timers and readers hold it.
_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, ref[Watch]] = WeakKeyDictionary()


def watch_of(loop: asyncio.AbstractEventLoop) -> Watch | None:
    """The watch over the streams of a loop; None where the system has no such thing."""
    known = _watches.get(loop)
    watch = None if known is None else known()
    if watch is None and _SUPPORTED:
        watch = Watch()
        _watches[loop] = ref(watch)
    return watch
