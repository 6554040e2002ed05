"""HTTP/2 with prior knowledge: no TLS, no upgrade."""

from __future__ import annotations

import contextlib
import socket
import time

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, Event, StreamEnded, StreamReset
from h2.exceptions import ProtocolError

from matrix.clients.base import Client
from tests.servers.client import Closed

_OVER = (ConnectionTerminated, StreamEnded, StreamReset)


class Http2(Client):
    """One connection, and the stream opened last. The window is opened by `take` alone."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._h2 = H2Connection(H2Configuration(client_side=True))
        self._h2.initiate_connection()
        self._stream = 0
        self._waiting = 0

    def request(self, target: str, *, method: str = "GET", body_size: int = 0) -> None:
        """See `Client`."""
        self.received = 0
        self._stream = self._h2.get_next_available_stream_id()
        names = {":method": method, ":path": target, ":scheme": "http", ":authority": "test"}
        if body_size:
            names["content-length"] = str(body_size)
        self._h2.send_headers(self._stream, [*names.items()], end_stream=not body_size)
        self._flush()

    def send_body(self, body: bytes) -> None:
        """See `Client`."""
        position = 0
        with contextlib.suppress(OSError, Closed, ProtocolError):
            while position < len(body):
                room = min(self._h2.local_flow_control_window(self._stream), self._h2.max_outbound_frame_size)
                if not room:
                    self._receive()
                    continue
                self._h2.send_data(self._stream, body[position : position + room])
                position += room
                self._flush()
            self._h2.end_stream(self._stream)
            self._flush()

    def read_first(self) -> None:
        """See `Client`."""
        while not self.received:
            self._receive()

    def take(self, size: int) -> None:
        """See `Client`: what has arrived is read, `size` bytes of it are given back to the window."""
        with contextlib.suppress(BlockingIOError):
            self._receive(socket.MSG_DONTWAIT)
        given = min(size, self._waiting)
        if given:
            self._waiting -= given
            self._h2.increment_flow_control_window(given)
            self._h2.increment_flow_control_window(given, self._stream)
            self._flush()

    def reset_stream(self) -> int:
        """RST_STREAM with CANCEL, as a client does that aborts one request; when, in monotonic ns."""
        self._h2.reset_stream(self._stream, ErrorCodes.CANCEL)
        now = time.monotonic_ns()
        self._flush()
        return now

    def _receive(self, flags: int = 0) -> None:
        try:
            data = self.sock.recv(65536, flags)
        except ConnectionResetError as error:
            raise Closed("reset") from error
        if not data:
            raise Closed("closed")
        events = self._h2.receive_data(data)
        self._flush()
        for event in events:
            self._handle(event)

    def _handle(self, event: Event) -> None:
        if getattr(event, "stream_id", self._stream) != self._stream:
            return
        if isinstance(event, DataReceived):
            self.received += len(event.data)
            self._waiting += event.flow_controlled_length
        elif isinstance(event, _OVER):
            raise Closed(type(event).__name__)

    def _flush(self) -> None:
        self.sock.sendall(self._h2.data_to_send())
