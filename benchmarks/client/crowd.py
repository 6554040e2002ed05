"""Many streams at once, under one epoll."""

from __future__ import annotations

import select
import socket
import time
from typing import TYPE_CHECKING, Self

from benchmarks.harness.process import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

FINAL = b"0\r\n\r\n"  # RFC 9112 section 7.1: the last chunk, without trailers
READ = 1 << 18
WIDTH = 512  # events taken per poll
LIMIT = 60.0  # seconds after which a crowd is given up


class Stream:
    """One connection, with a request on it. Bytes are counted, not kept."""

    __slots__ = ("_tail", "received", "socket", "started")

    def __init__(self, port: int, path: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ask(path)

    def ask(self, path: str) -> None:
        """Send a request; the answer to an earlier one must have been read."""
        self.received = 0
        self.started = False
        self._tail = b""
        self.socket.send(f"GET {path} HTTP/1.1\r\nHost: benchmark\r\n\r\n".encode())

    def take(self) -> bytes:
        """Read what is there. Raises BenchmarkError when the server closed the connection."""
        data = self.socket.recv(READ)
        if not data:
            raise BenchmarkError(f"the server closed a stream after {self.received} bytes")
        self.received += len(data)
        self.started = self.started or b"data: " in data
        self._tail = data[-len(FINAL) :] if len(data) >= len(FINAL) else (self._tail + data)[-len(FINAL) :]
        return data

    @property
    def ended(self) -> bool:
        """Whether the final chunk has arrived."""
        return self._tail == FINAL


class Crowd:
    """Open streams, polled together; a context manager that closes what is left."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._poll = select.epoll()
        self._give_up = time.monotonic() + LIMIT
        self.streams: dict[int, Stream] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in [*self.streams.values()]:
            self.close(stream)
        self._poll.close()

    def open(self, path: str) -> Stream:
        """Connect and ask for `path`."""
        stream = Stream(self._port, path)
        self.streams[stream.socket.fileno()] = stream
        self._poll.register(stream.socket, select.EPOLLIN)
        return stream

    def close(self, stream: Stream) -> None:
        """Close the connection: a FIN, when everything that came has been read."""
        del self.streams[stream.socket.fileno()]
        stream.socket.close()

    def ready(self, seconds: float) -> Iterator[Stream]:
        """The streams with something to read, after one wait of at most `seconds`.

        Raises:
            BenchmarkError: The crowd has been at it for `LIMIT` seconds.
        """
        if time.monotonic() > self._give_up:
            raise BenchmarkError(f"not done after {LIMIT:g} s, with {len(self.streams)} streams open")
        for descriptor, _ in self._poll.poll(seconds, WIDTH):
            yield self.streams[descriptor]

    def finish(self) -> int:
        """Read every stream to its final chunk and close it; return the bytes read."""
        received = 0
        while self.streams:
            for stream in self.ready(1):
                stream.take()
                if stream.ended:
                    received += stream.received
                    self.close(stream)
        return received

    def open_started(self, paths: list[str], batch: int = 100) -> list[Stream]:
        """Open a stream for each path, and wait until each has brought its first event."""
        opened: list[Stream] = []
        while len(opened) < len(paths):
            fresh = [self.open(path) for path in paths[len(opened) : len(opened) + batch]]
            self._until_started(fresh)
            opened += fresh
        return opened

    def _until_started(self, streams: list[Stream]) -> None:
        while not all(stream.started for stream in streams):
            for stream in self.ready(1):
                stream.take()
