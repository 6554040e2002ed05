"""Whether the server still listens: the one sign of its departure that every server gives.

A server that stops closes its listening socket at once, and the connections it has accepted when they are
over. So while streams live, the socket is looked at from time to time. It is found among the descriptors of
the process at the first stream, in a thread; a look at a known one costs a few microseconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Iterable
from typing import NamedTuple

from endwell.asgi import _sockets

LOOK = 0.25
"""Seconds between two looks."""


class Listening(NamedTuple):
    """A listening socket of this process.

    Attributes:
        descriptor: Its number, which may be another file's later.
        inode: What tells the two apart.
    """

    descriptor: int
    inode: int

    def is_there(self) -> bool:
        """Whether it is still open, and listens."""
        try:
            if os.fstat(self.descriptor).st_ino != self.inode:
                return False
            with _sockets.view(self.descriptor) as found:
                return _sockets.is_listening(found)
        except OSError:
            return False


def find(ports: Iterable[int]) -> list[Listening] | None:
    """The sockets of this process that listen on one of `ports`; None if none can be seen. For a thread."""
    if not _sockets.descriptors():
        return None
    found = []
    listening = _sockets.scan().listening
    for descriptor in (each for port in ports for each in listening.get(port, ())):
        with contextlib.suppress(OSError):  # closed meanwhile
            found.append(Listening(descriptor, os.fstat(descriptor).st_ino))
    return found


class Watch:
    """Looks after the listening sockets of the ports that requests come by, on the event loop that makes it.

    Where none is in this process (a test client, a parent that accepts for it), or where there
    is no /proc to find them in, nothing is ever noticed.

    Args:
        found: Called once, when there is one.
        gone: Called when none is left.
    """

    def __init__(self, found: Callable[[], None], gone: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._found = found
        self._gone = gone
        self._bound: set[int] = set()
        self._ports: set[int] = set()
        self._known: list[Listening] = []
        self._on = False
        self._searching = False
        self._timer: asyncio.TimerHandle | None = None

    def note(self) -> None:
        """Note which ports are bound before the first request, so that one may have gone when that comes."""
        thread = threading.Thread(target=self._note, name="endwell listening", daemon=True)
        with contextlib.suppress(RuntimeError):  # no more threads to be had
            thread.start()

    def _note(self) -> None:
        self._bound = _sockets.scan().ports

    def go_on(self, port: int) -> None:
        """Look from now on, also at `port`."""
        self._on = True
        if port not in self._ports:
            self._ports.add(port)
            self._search()
        elif self._known and self._timer is None:
            self._look_later()

    def pause(self) -> None:
        """Look no more, until `go_on`. A timer that is set is left to find that out: streams come and go."""
        self._on = False

    def stop(self) -> None:
        """Look no more."""
        self._on = False
        self._stop_timer()

    def is_gone(self) -> bool:
        """Whether there was one, and none of those that were is left."""
        return bool(self._known) and not any(each.is_there() for each in self._known)

    def _look(self) -> None:
        self._timer = None
        if not self._on:
            return
        if self.is_gone():
            self._search()  # it may have been replaced by another one
        else:
            self._look_later()

    def _look_later(self) -> None:
        self._stop_timer()
        self._timer = self._loop.call_later(LOOK, self._look)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _search(self) -> None:
        if self._searching:
            return
        self._searching = True
        arguments = (self._loop, frozenset(self._ports), self._report)
        thread = threading.Thread(target=_search, args=arguments, name="endwell listening", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads to be had: perhaps next time
            self._searching = False
            self._ports.clear()

    def _report(self, ports: frozenset[int], found: list[Listening] | None) -> None:
        self._searching = False
        if ports != self._ports:
            self._search()
        elif found:
            self._has_found(found)
        elif not self._on:
            return
        elif found is None:  # a process without a free descriptor sees nothing
            self._look_later()
        elif self.is_gone() or not (self._known or ports.isdisjoint(self._bound)):
            self._gone()
        elif self._known:
            self._look_later()

    def _has_found(self, found: list[Listening]) -> None:
        if not self._known:
            self._found()
        self._known = found
        if self._on:
            self._look_later()


def _search(
    loop: asyncio.AbstractEventLoop,
    ports: frozenset[int],
    report: Callable[[frozenset[int], list[Listening] | None], None],
) -> None:
    found = find(ports)
    with contextlib.suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(report, ports, found)
