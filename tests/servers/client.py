"""Clients that leave in every way a client can: raw sockets, and curl as the judge of how a body ended."""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.servers.servers import HOST, Server

TIMEOUT = 10.0
"""Seconds any single read may take. Generous: it only bounds a failing test."""
CLEAN, TRUNCATED, RESET = 0, 18, 56
"""curl's exit codes for how a body ended."""


class Closed(Exception):
    """The server closed the connection before what was asked for had arrived."""


@dataclass(frozen=True)
class Head:
    """A response's status line and headers; names are lower case, a repeated name keeps its last value."""

    version: str
    status: int
    headers: Mapping[str, str]


@dataclass
class Connection:
    """One HTTP/1 request over a raw socket, with the body decoded as far as it has arrived.

    Attributes:
        body: the body's bytes so far, without chunked framing.
        complete: the body's own end was seen: the last chunk, or all of content-length.
        ended: how the connection ended, "fin" or "rst"; None while it is open.
    """

    sock: socket.socket
    head: Head | None = None
    body: bytes = b""
    complete: bool = False
    ended: str | None = None
    _raw: bytes = field(default=b"", repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.sock.close()

    def request(
        self,
        target: str,
        *,
        method: str = "GET",
        body: bytes = b"",
        headers: tuple[tuple[str, bytes], ...] = (),
        version: str = "1.1",
    ) -> None:
        """Send a request; header values are bytes, so that invalid ones can be sent too."""
        lines = [f"{method} {target} HTTP/{version}".encode(), b"host: test"]
        if body:
            lines += [b"content-type: application/json", b"content-length: %d" % len(body)]
        lines += [name.encode() + b": " + value for name, value in headers]
        self.sock.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)

    def read_head(self) -> Head:
        """Read until the headers are complete."""
        while b"\r\n\r\n" not in self._raw:
            self._receive()
        text, _, self._raw = self._raw.partition(b"\r\n\r\n")
        first, *rest = text.decode("latin-1").split("\r\n")
        version, status, *_ = first.split(" ")
        pairs = (line.partition(":")[::2] for line in rest)
        self.head = Head(version, int(status), {name.lower(): value.strip() for name, value in pairs})
        self._decode()
        return self.head

    def read_until(self, marker: bytes, count: int = 1) -> bytes:
        """Read until the body holds `marker` `count` times; the body so far.

        Raises:
            Closed: the body or the connection ended first.
            TimeoutError: nothing arrived for `TIMEOUT` seconds.
        """
        if self.head is None:
            self.read_head()
        while self.body.count(marker) < count:
            if self.complete:
                raise Closed(f"the body ended after {self.body[-200:]!r}")
            self.read_more()
        return self.body

    def read_more(self) -> bytes:
        """Read once more; the body so far."""
        self._receive()
        self._decode()
        return self.body

    def read_to_end(self) -> bytes:
        """Read until the body is complete or the connection ends; `complete` and `ended` tell which."""
        with contextlib.suppress(Closed):
            if self.head is None:
                self.read_head()
            while not self.complete:
                self.read_more()
        return self.body

    def start_over(self) -> None:
        """Forget a complete response: the next request on this connection comes."""
        self.head, self.body, self.complete = None, b"", False

    def wait_closed(self) -> str:
        """Read and drop until the server ends the connection: "fin" or "rst"."""
        with contextlib.suppress(Closed):
            while True:
                self._receive()
        assert self.ended is not None
        return self.ended

    def fin(self) -> int:
        """Close in good order; the monotonic time in ns just before. Unread data makes it a reset too."""
        with contextlib.suppress(OSError):
            now = time.monotonic_ns()
            self.sock.shutdown(socket.SHUT_WR)
        self.sock.close()
        return now

    def rst(self) -> int:
        """Reset the connection; the monotonic time in ns just before."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        now = time.monotonic_ns()
        self.sock.close()
        return now

    def half_close(self) -> int:
        """Send a FIN and keep reading; the monotonic time in ns just before."""
        now = time.monotonic_ns()
        self.sock.shutdown(socket.SHUT_WR)
        return now

    def leave(self, how: str) -> int:
        """`fin()`, `rst()` or `half_close()` by name."""
        leaving = {"fin": self.fin, "rst": self.rst, "half-close": self.half_close}
        return leaving[how]()

    def _receive(self) -> None:
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError as exc:
            self.ended = "rst"
            raise Closed("reset") from exc
        if not data:
            self.ended = "fin"
            raise Closed(f"closed after {(self.body + self._raw)[-200:]!r}")
        self._raw += data

    def _decode(self) -> None:
        assert self.head is not None
        if self.head.headers.get("transfer-encoding") == "chunked":
            self._decode_chunks()
            return
        self.body, self._raw = self.body + self._raw, b""
        length = self.head.headers.get("content-length")
        self.complete = length is not None and len(self.body) >= int(length)

    def _decode_chunks(self) -> None:
        while not self.complete:
            size, newline, rest = self._raw.partition(b"\r\n")
            length = int(size, 16) if newline else 0
            if not newline or len(rest) < length + 2:
                return
            self.body += rest[:length]
            self._raw = rest[length + 2 :]
            self.complete = length == 0


def connect(server: Server, *, receive_buffer: int | None = None) -> Connection:
    """Open a connection; a small `receive_buffer` (bytes) makes a client that does not read block sooner."""
    sock = socket.socket()
    try:
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(TIMEOUT)
        sock.connect((HOST, server.port))
    except BaseException:
        sock.close()
        raise
    return Connection(sock)


@contextlib.contextmanager
def connections(
    server: Server, count: int, *, receive_buffer: int | None = None
) -> Iterator[list[Connection]]:
    """`count` open connections, all closed at the end of the block."""
    with contextlib.ExitStack() as stack:
        opened = (connect(server, receive_buffer=receive_buffer) for _ in range(count))
        yield [stack.enter_context(connection) for connection in opened]


@dataclass(frozen=True)
class Curl:
    """What curl made of a response."""

    code: int
    body: bytes


def curl(url: str, *options: str, timeout: float = 20.0) -> Curl:
    """Run `curl -N` (no buffering) on `url` for at most `timeout` seconds."""
    command = ["curl", "--silent", "--no-buffer", "--max-time", str(timeout), *options, url]
    done = subprocess.run(command, capture_output=True, check=False)
    return Curl(done.returncode, done.stdout)
