"""The process's own sockets, for what no ASGI message can say.

A server's socket is found among the descriptors of the process: 1 ms with 400 of them, so always in a thread.
What is found is used through a duplicate that is closed right after: the server may close its own meanwhile,
and the number be another's by then; while a duplicate that stayed would keep the connection open after that.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from endwell.types import Scope

if sys.platform == "linux":
    import fcntl

_DESCRIPTORS = Path("/proc/self/fd")
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_ANY_FAMILY = getattr(socket, "AF_UNIX", socket.AF_INET)
"""What a socket object is told of its family decides only how much room there is for an address."""
_NOWHERE = struct.pack("=H14x", socket.AF_UNSPEC)
_SO_PEERNAME = 28
"""Linux; Python has no name for it. It knows the peer of a connection that is over, unlike getpeername."""
_SIOCOUTQ = 0x5411
"""Linux: how many bytes are not acknowledged. A fifth of what TCP_INFO costs, which needs a socket object."""
_TCP_INFO = struct.Struct("=24xI92xQ16xI")
"""`tcpi_unacked`, `tcpi_bytes_acked` and `tcpi_notsent_bytes` in `struct tcp_info`, there since Linux 4.6."""


UNIX = 0
"""What stands for the port of a unix socket: no TCP socket listens on it."""

_TCP_CLOSE = 7
"""The state of a connection that is over."""


class Progress(NamedTuple):
    """How far a client's kernel has taken what was sent.

    Attributes:
        unacked: Segments under way.
        acked: Bytes acknowledged since the connection began.
        unsent: Bytes that wait in the server's kernel.
    """

    unacked: int
    acked: int
    unsent: int


class Address(NamedTuple):
    """What names a connection among the process's own.

    Attributes:
        host: The client's.
        port: The client's.
        server_port: The server's.
    """

    host: str
    port: int
    server_port: int

    def names(self, connection: socket.socket) -> bool:
        """Whether it is the address of this socket."""
        return _address_on(connection) == self


def is_listening(candidate: socket.socket) -> bool:
    """Whether a socket accepts connections."""
    return bool(candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def address_of(scope: Scope) -> Address | None:
    """The address of a request's connection; None where the server names none, as on a unix socket."""
    client: Any = scope.get("client")
    server: Any = scope.get("server")
    try:
        # granian gives ports as strings; a unix socket has none.
        return Address(_plain(client[0]), int(client[1]), int(server[1]))
    except (TypeError, ValueError, IndexError, AttributeError):
        return None


def port_of(scope: Scope) -> int | None:
    """The server's port; None on a unix socket, or where the server does not say."""
    server: Any = scope.get("server")
    try:
        return int(server[1])
    except (TypeError, ValueError, IndexError):
        return None


def _plain(host: str) -> str:
    """Servers differ in how they write IPv4 on an IPv6 socket, and whether they name a zone."""
    return host.partition("%")[0].lower().removeprefix("::ffff:")


def descriptors() -> list[int]:
    """The process's descriptors; none where there is no /proc."""
    try:
        return [int(name) for name in os.listdir(_DESCRIPTORS)]  # noqa: PTH208 - a name is all that is needed
    except OSError:
        return []


@contextmanager
def view(descriptor: int) -> Iterator[socket.socket]:
    """A socket object on somebody else's descriptor, which stays theirs and open.

    Raises:
        OSError: It is no socket, or closed.
    """
    seen = socket.socket(_ANY_FAMILY, socket.SOCK_STREAM, 0, fileno=descriptor)
    try:
        yield seen
    finally:
        seen.detach()


class Sockets(NamedTuple):
    """The process's TCP sockets.

    Attributes:
        connections: Descriptors by address.
        listening: Descriptors of sockets that accept, by port.
        ports: Every local port, in whatever state.
    """

    connections: dict[Address, int]
    listening: dict[int, list[int]]
    ports: set[int]


def scan() -> Sockets:
    """Look at every descriptor of the process. For a thread."""
    seen = Sockets({}, {}, set())
    for descriptor in descriptors():
        with contextlib.suppress(OSError), view(descriptor) as each:
            _note(each, seen)
    return seen


def _note(each: socket.socket, seen: Sockets) -> None:
    own = each.getsockname()
    if isinstance(own, (str, bytes)) and is_listening(each):
        seen.listening.setdefault(UNIX, []).append(each.fileno())
    if not isinstance(own, tuple) or len(own) < 2:  # noqa: PLR2004 - (host, port, …)
        return
    seen.ports.add(own[1])
    if is_listening(each):
        seen.listening.setdefault(own[1], []).append(each.fileno())
    else:
        seen.connections[_address_on(each)] = each.fileno()


def _address_on(connection: socket.socket) -> Address:
    """Where a socket is connected to.

    Raises:
        OSError: It is not connected.
    """
    try:
        peer = connection.getpeername()
    except OSError:
        peer = _former_peer(connection)
    own = connection.getsockname()
    if not (isinstance(peer, tuple) and isinstance(own, tuple)):
        raise OSError(errno.EAFNOSUPPORT, "not a TCP connection")
    return Address(_plain(str(peer[0])), peer[1], own[1])


def _former_peer(connection: socket.socket) -> tuple[str, int]:
    """Where a socket was connected to until its client reset it, which the server may not have seen yet.

    Raises:
        OSError: It never was, or the system does not say.
    """
    if sys.platform != "linux":
        raise OSError(errno.ENOTCONN, "not connected")
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERNAME, 28)
    except OSError:  # EINVAL: an address of IPv4 is shorter, and no more may be asked for than there is
        raw = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERNAME, 16)
    (family,) = struct.unpack_from("=H", raw)
    (port,) = struct.unpack_from("!H", raw, 2)
    at = {socket.AF_INET: slice(4, 8), socket.AF_INET6: slice(8, 24)}.get(family)
    if at is None:
        raise OSError(errno.EAFNOSUPPORT, "not a TCP connection")
    return socket.inet_ntop(family, raw[at]), port


@contextmanager
def borrowed(descriptor: int, belongs: Callable[[socket.socket], bool]) -> Iterator[socket.socket | None]:
    """A duplicate of a socket while the block runs; None if it is another one than `belongs` expects."""
    try:
        number = os.dup(descriptor)
    except OSError:
        yield None
        return
    try:
        duplicate = socket.socket(_ANY_FAMILY, socket.SOCK_STREAM, 0, fileno=number)
    except OSError:  # another file's by now
        os.close(number)
        yield None
        return
    with duplicate:
        try:
            same = belongs(duplicate)
        except OSError:
            same = False
        yield duplicate if same else None


@contextmanager
def found(scope: Scope) -> Iterator[socket.socket | None]:
    """`borrowed`, by look-up. For a thread."""
    address = address_of(scope)
    descriptor = None if address is None else scan().connections.get(address)
    if address is None or descriptor is None:
        yield None
        return
    with borrowed(descriptor, address.names) as connection:
        yield connection


# -- what is done with one -----------------------------------------------------------------------------------


def progress(connection: socket.socket) -> Progress | None:
    """How far the client is; None where the connection is over, or the system does not say."""
    if sys.platform != "linux":
        return None
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    if len(info) < _TCP_INFO.size or info[0] == _TCP_CLOSE:
        return None
    return Progress._make(_TCP_INFO.unpack_from(info))


def is_empty(descriptor: int) -> bool:
    """Whether the client has acknowledged all that was sent; False where the system does not say."""
    if sys.platform != "linux":
        return False
    try:
        queued = fcntl.ioctl(descriptor, _SIOCOUTQ, b"\0\0\0\0")
    except OSError:
        return False
    return queued == b"\0\0\0\0"


def has_hung_up(connection: socket.socket) -> bool:
    """Whether the client's FIN or reset has arrived, read or not; False where the system does not say."""
    if sys.platform != "linux":
        return False
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    return bool(poll.poll(0))


def disconnect(connection: socket.socket) -> bool:
    """Reset a connection at once and drop what waits in it, below a server that goes on using it.

    To connect a socket to nowhere dissolves its connection (connect(2), AF_UNSPEC). Unlike a close it needs
    no descriptor of one's own; unlike a shutdown it does not wait for the client to take what is queued. The
    server learns it as if the client had reset the connection.

    Returns:
        False where the system does not do it.
    """
    if sys.platform != "linux":
        return False
    done: int = ctypes.CDLL(None).connect(connection.fileno(), _NOWHERE, len(_NOWHERE))
    return done == 0


def set_reset_on_close(connection: socket.socket) -> None:
    """Have the close of a connection be a reset, and drop what waits in it."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)


def hang_up(scope: Scope) -> bool:
    """Shut a request's connection down both ways, mid-body; what waits still goes out. For a thread.

    Returns:
        False where it cannot be found.
    """
    with found(scope) as connection, contextlib.suppress(OSError):
        if connection is not None:
            connection.shutdown(socket.SHUT_RDWR)
        return connection is not None
    return True


def reset_on_close(scope: Scope) -> bool:
    """`set_reset_on_close` for a request's connection. For a thread.

    Returns:
        False where it cannot be found.
    """
    with found(scope) as connection:
        if connection is not None:
            set_reset_on_close(connection)
        return connection is not None
