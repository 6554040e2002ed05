"""Thousands of EventSource-like readers under one epoll."""

from __future__ import annotations

import re
import select
import socket
import time
from typing import TYPE_CHECKING, Self

from benchmarks.harness.process import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

FINAL = b"0\r\n\r\n"  # RFC 9112 section 7.1: the last chunk, without trailers
ID = re.compile(rb'"id":"([^"]+)"')
RETRY = re.compile(rb"\nretry: (\d+)\n")
REQUEST = b"GET /stream HTTP/1.1\r\nHost: benchmark\r\nAccept: text/event-stream\r\n\r\n"
READ = 1 << 16
KEPT = 256
"""Bytes of what was read before that are kept: a line may come in two reads."""
WIDTH = 512  # events taken per poll
BATCH = 100  # streams that are opened together
LIMIT = 30.0  # seconds for a batch


class Reader:
    """One stream. All times are `time.monotonic_ns()`, which is one clock for all processes.

    Attributes:
        asked: when it connected.
        served: when its first event came.
        ended: when its body ended, in whatever way.
        stream: its stream's id.
        retry: the reconnection time it was told, in ms.
    """

    __slots__ = ("_tail", "asked", "ended", "retry", "served", "socket", "stream")

    def __init__(self, port: int) -> None:
        self.asked = time.monotonic_ns()
        self.served: int | None = None
        self.ended: int | None = None
        self.stream: str | None = None
        self.retry: int | None = None
        self._tail = b""
        self.socket = socket.socket()
        self.socket.settimeout(0)
        self.socket.connect_ex(("127.0.0.1", port))

    def ask(self) -> None:
        """It is connected, or was refused: send the request."""
        try:
            self.socket.send(REQUEST)
        except OSError:
            self.ended = time.monotonic_ns()

    def take(self) -> None:
        """Read what is there."""
        try:
            data = self.socket.recv(READ)
        except OSError:
            data = b""
        now = time.monotonic_ns()
        self._tail = self._tail[-KEPT:] + data
        if self.stream is None and (found := ID.search(self._tail)):
            self.served, self.stream = now, found[1].decode()
        if told := RETRY.search(self._tail):
            self.retry = int(told[1])
        if not data or self._tail.endswith(FINAL):
            self.ended = now


class Fleet:
    """All readers that are open; a context manager that closes what is left."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._open: dict[int, Reader] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reader in self._open.values():
            reader.socket.close()
        self._poll.close()

    def open(self, port: int) -> Reader:
        """A new reader; it asks as soon as it is connected."""
        reader = Reader(port)
        self._open[reader.socket.fileno()] = reader
        self._poll.register(reader.socket, select.EPOLLOUT)
        return reader

    def open_served(self, port: int, count: int) -> list[Reader]:
        """So many new readers, each of which has got its first event.

        Raises:
            BenchmarkError: A batch of them was not served within `LIMIT` seconds.
        """
        readers: list[Reader] = []
        while len(readers) < count:
            batch = [self.open(port) for _ in range(min(BATCH, count - len(readers)))]
            limit = time.monotonic() + LIMIT
            while any(reader.served is None for reader in batch):
                if time.monotonic() > limit:
                    raise BenchmarkError(f"{len(readers)} streams are open, and no more are served")
                list(self.turn(1))
            readers += batch
        return readers

    def turn(self, seconds: float) -> Iterator[Reader]:
        """Wait once, at most so long, and read what came; yield those whose body ended."""
        for descriptor, event in self._poll.poll(max(0.0, seconds), WIDTH):
            reader = self._open[descriptor]
            if event & select.EPOLLOUT:
                reader.ask()
                self._poll.modify(descriptor, select.EPOLLIN)
            else:
                reader.take()
            if reader.ended is not None:
                del self._open[descriptor]
                reader.socket.close()
                yield reader
