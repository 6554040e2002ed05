"""The client's own socket, for what no ASGI message can say.

Used on a failure only, and in a thread: a look-up reads every descriptor of the process, 0.2 ms with a few
sockets, 200 ms with 8,000.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

from endwell.types import Scope

_DESCRIPTORS = Path("/proc/self/fd")
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def hang_up(scope: Scope) -> bool:
    """Shut the connection's socket down both ways, mid-body. False where it cannot be found."""
    for connection in _find(scope):
        connection.shutdown(socket.SHUT_RDWR)
        return True
    return False


def reset_on_close(scope: Scope) -> bool:
    """Have the server's close of the connection be a reset. False where the socket cannot be found."""
    for connection in _find(scope):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        return True
    return False


def _find(scope: Scope) -> Iterator[socket.socket]:
    """Yield the connection's socket, through a duplicate descriptor that is closed right after.

    A duplicate that outlived this call would keep the connection open after the server has closed it.
    """
    client, server = scope.get("client"), scope.get("server")
    if not client or not server or not _DESCRIPTORS.exists():
        return
    # granian gives ports as strings.
    peer, port = (client[0], int(client[1])), int(server[1] or 0)
    for descriptor in [int(entry.name) for entry in _DESCRIPTORS.iterdir()]:
        with contextlib.suppress(OSError):
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            with socket.socket(fileno=os.dup(descriptor)) as connection:
                if connection.getpeername()[:2] == peer and connection.getsockname()[1] == port:
                    yield connection
                    return
