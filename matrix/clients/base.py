"""What an act needs of a client."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod

from matrix.sockets import Address
from tests.servers.client import Connection


class Client(ABC):
    """One connection with one request.

    Attributes:
        connection: for the ways to leave that TCP has.
        received: bytes of the body, or of what carries it, so far.
        address: this end of the connection.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.connection = Connection(sock)
        self.received = 0
        address: Address = sock.getsockname()
        self.address = address

    @property
    def sock(self) -> socket.socket:
        """The connection's socket."""
        return self.connection.sock

    def leave(self, how: str) -> int:
        """Leave as `Connection.leave` does; when, in monotonic ns."""
        return self.connection.leave(how)

    def close(self) -> None:
        """Give the socket back, by a reset: nothing of it stays behind."""
        if self.sock.fileno() >= 0:
            self.connection.rst()

    @abstractmethod
    def request(self, target: str, *, method: str = "GET", body_size: int = 0) -> None:
        """Send a request; of a body only the announcement."""

    @abstractmethod
    def send_body(self, body: bytes) -> None:
        """Send the body, as much as the server takes within the socket's timeout."""

    @abstractmethod
    def read_first(self) -> None:
        """Read until something of the body has arrived.

        Raises:
            Closed: the connection ended first.
        """

    @abstractmethod
    def take(self, size: int) -> None:
        """Take at most `size` bytes of what has arrived, and let the server know; never waits.

        Raises:
            Closed: the server has ended the connection or the body.
        """
