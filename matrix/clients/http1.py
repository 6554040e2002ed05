"""HTTP/1.1."""

from __future__ import annotations

import contextlib
import socket

from matrix.clients.base import Client
from tests.servers.client import Closed


class Http1(Client):
    """One connection; requests may be pipelined."""

    def request(self, target: str, *, method: str = "GET", body_size: int = 0) -> None:
        """See `Client`."""
        length = (("content-length", str(body_size).encode()),) if body_size else ()
        self.connection.request(target, method=method, headers=length)

    def send_body(self, body: bytes) -> None:
        """See `Client`."""
        with contextlib.suppress(OSError):  # taken in part only, or refused
            self.sock.sendall(body)

    def read_first(self) -> None:
        """See `Client`."""
        self.received += len(self.connection.read_until(b"chunk"))

    def take(self, size: int) -> None:
        """See `Client`."""
        try:
            data = self.sock.recv(size, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except ConnectionResetError as error:
            raise Closed("reset") from error
        if not data:
            raise Closed("closed")
        self.received += len(data)
