"""The least of an HTTP/2 client: one request without TLS, read as it comes, left by RST_STREAM."""

from __future__ import annotations

import socket
import time
from types import TracebackType
from typing import Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, StreamEnded, StreamReset

from tests.servers.client import TIMEOUT
from tests.servers.servers import HOST, Server

STREAM = 1
"""The number of a client's first stream."""


class Http2:
    """One stream over one connection.

    Attributes:
        body: the body so far.
        ended: "clean" for the stream's own end, or the code of a reset; None while it is open.
    """

    def __init__(self, server: Server) -> None:
        self.body = b""
        self.ended: str | None = None
        self._sock = socket.create_connection((HOST, server.port), TIMEOUT)
        self._protocol = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._protocol.initiate_connection()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._sock.close()

    def request(self, target: str) -> None:
        """Ask for `target`."""
        pseudo = {":method": "GET", ":path": target, ":scheme": "http", ":authority": "test"}
        self._protocol.send_headers(STREAM, list(pseudo.items()), end_stream=True)
        self._flush()

    def read_until(self, marker: bytes) -> None:
        """Read until the body has `marker`, or the stream ended."""
        while marker not in self.body and self.ended is None:
            received = self._sock.recv(65536)
            assert received, "the connection was closed"
            for event in self._protocol.receive_data(received):
                self._take(event)
            self._flush()

    def read_to_end(self) -> None:
        """Read until the stream ended."""
        self.read_until(b"\0never\0")

    def reset(self) -> int:
        """Leave: RST_STREAM, with the connection kept open; the monotonic time in ns just before."""
        self._protocol.reset_stream(STREAM, ErrorCodes.CANCEL)
        now = time.monotonic_ns()
        self._flush()
        return now

    def _take(self, event: Event) -> None:
        if isinstance(event, DataReceived):
            self.body += event.data or b""
            self._protocol.acknowledge_received_data(event.flow_controlled_length or 0, STREAM)
        elif isinstance(event, StreamEnded):
            self.ended = "clean"
        elif isinstance(event, StreamReset):
            self.ended = ErrorCodes(event.error_code or 0).name

    def _flush(self) -> None:
        self._sock.sendall(self._protocol.data_to_send())
