"""Finding clients that vanish without a word: what the kernel is told to do about them.

With Linux's own values it takes 15 minutes while something is being sent, and for ever while nothing is. Set
on the server's *listening* socket, keepalive and TCP_USER_TIMEOUT are inherited by every connection that it
accepts, under every server. The library finds that socket among the process's descriptors at the first stream
on its port (a server may bind after the application's startup), and the connections accepted before that.

A smaller value that is there already, whoever has set it, stays: with two applications on one port the
smaller one wins.
"""

from __future__ import annotations

import contextlib
import math
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from endwell.asgi import _sockets
from endwell.observe import logger

AGAIN = 60.0
"""Seconds after which a port whose listening socket seems to be a new one is looked at again."""

APART = 1.0
"""Seconds after which another connection is asked at once whether it has inherited them."""

_MOST = 32_767
"""Linux: the most seconds that keepalive takes."""


class Options(NamedTuple):
    """What the kernel takes, for one promise.

    Attributes:
        idle: Seconds without a byte before the first probe.
        interval: Seconds between probes.
        probes: Probes without an answer that end the connection, where no user timeout does.
        timeout: Milliseconds for which sent bytes, or a probe, may stay unanswered.
    """

    idle: int
    interval: int
    probes: int
    timeout: int

    @classmethod
    def within(cls, vanished: float) -> Options:
        """Find an idle peer `vanished` seconds after its last sign, a sending one as long after the send."""
        idle = min(_MOST, max(1, int(vanished / 2)))
        interval = min(_MOST, max(1, int(vanished / 6)))
        probes = min(127, max(1, math.ceil((vanished - idle) / interval)))
        return cls(idle, interval, probes, min(2**31 - 1, int(vanished * 1000)))


class _Cover(NamedTuple):
    vanished: float
    inherited: bool
    at: float


_covered: dict[int, _Cover] = {}
_asked: dict[int, float] = {}
_told: set[str] = set()
_lock = threading.Lock()


def cover(port: int, vanished: float) -> None:
    """See to it, once, that clients of the server on `port` who vanish are found within `vanished` seconds.

    Returns at once: the work is done in a thread.
    """
    known = _covered.get(port)
    if known is not None and known.vanished <= vanished:
        return
    if sys.platform != "linux":
        _tell_once("clients that vanish are not found: only on Linux can the kernel be told to")
        return
    _covered[port] = _Cover(vanished, inherited=True, at=time.monotonic())
    thread = threading.Thread(target=_apply, args=(port, vanished), name="endwell keepalive", daemon=True)
    with contextlib.suppress(RuntimeError):  # no more threads to be had
        thread.start()


def is_to_be_asked(port: int) -> bool:
    """Whether a connection should be asked for the options at once, as it may not have inherited them.

    Of a listening socket's own, one in a while will do: `cover_one` finds out if it is a new one. The others
    are asked when they are looked at for the first time.
    """
    known, now = _covered.get(port), time.monotonic()
    if known is not None and known.inherited and _asked.get(port, -math.inf) + APART > now:
        return False
    _asked[port] = now
    return True


def set_timeout(connection: socket.socket, seconds: float) -> None:
    """Set how long sent bytes may stay unanswered; 0 leaves it to the system.

    Raises:
        OSError: The system refuses.
    """
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


def cover_one(connection: socket.socket, port: int, vanished: float) -> None:
    """Set the options on one connection that has not inherited them: its listening socket must be a new one.

    Raises:
        OSError: The system refuses.
    """
    if connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) > 0:
        return
    _set(connection, Options.within(vanished))
    known = _covered.get(port)
    if known is None or (known.inherited and known.at + AGAIN < time.monotonic()):
        _covered.pop(port, None)
        cover(port, vanished)


# -- in a thread ---------------------------------------------------------------------------------------------


def _apply(port: int, vanished: float) -> None:
    options = Options.within(vanished)
    try:
        with _lock:
            listening, accepted = _set_all(port, options)
    except OSError as error:
        _tell_once(f"clients that vanish are not found: the kernel's options cannot be set: {error}")
        return
    if listening:
        logger.info(
            "port %d: clients that vanish are found within %g s "
            "(keepalive %d s + %d × %d s, TCP_USER_TIMEOUT %d ms)",
            *(port, vanished, options.idle, options.probes, options.interval, options.timeout),
        )
        return
    _covered[port] = _Cover(vanished, inherited=False, at=time.monotonic())
    if accepted:
        logger.info(
            "port %d: clients that vanish are found within %g s once their stream has lived for 2 s: "
            "the listening socket is not in this process",
            *(port, vanished),
        )


def _set_all(port: int, options: Options) -> tuple[int, int]:
    """Set the options on every socket of the server on `port`; how many listened and were accepted."""
    listening = _sockets.scan().listening.get(port, [])
    for descriptor in listening:
        _set_on(descriptor, _sockets.is_listening, options)
    # Only now: what is accepted meanwhile has inherited them.
    accepted = [each for each in _sockets.scan().connections.items() if each[0].server_port == port]
    for address, descriptor in accepted:
        _set_on(descriptor, address.names, options)
    return len(listening), len(accepted)


def _set_on(descriptor: int, belongs: Callable[[socket.socket], bool], options: Options) -> None:
    with _sockets.borrowed(descriptor, belongs) as found:
        if found is not None:
            _set(found, options)


def _set(found: socket.socket, options: Options) -> None:
    timeout = found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    if not 0 < timeout <= options.timeout:
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, options.timeout)
    if _finds_idle_within(found) <= options.idle + options.probes * options.interval:
        return
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, options.idle)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, options.interval)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, options.probes)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _finds_idle_within(found: socket.socket) -> float:
    if not found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE):
        return math.inf
    idle, interval, count = (
        found.getsockopt(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    )
    return idle + count * interval


def _tell_once(message: str) -> None:
    if message not in _told:
        _told.add(message)
        logger.warning(message)
