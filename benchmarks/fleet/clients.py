"""Thousands of EventSource-like readers."""

from __future__ import annotations

import re
import socket
import time

from benchmarks.client.readers import Reader, Readers

FINAL = b"0\r\n\r\n"  # RFC 9112 section 7.1: the last chunk, without trailers
ID = re.compile(rb'"id":"([^"]+)"')
RETRY = re.compile(rb"\nretry: (\d+)\n")
REQUEST = b"GET /stream HTTP/1.1\r\nHost: benchmark\r\nAccept: text/event-stream\r\n\r\n"
KEPT = 256
"""Bytes of what was read before that are kept: a line may come in two reads."""
LIMIT = 30.0  # seconds for a batch


class Source(Reader):
    """One EventSource. All times are `time.monotonic_ns()`, which is one clock for all processes.

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

    @property
    def is_served(self) -> bool:
        return self.served is not None

    @property
    def is_over(self) -> bool:
        return self.ended is not None

    def ask(self) -> None:
        try:
            self.socket.send(REQUEST)
        except OSError:
            self.ended = time.monotonic_ns()

    def take(self) -> None:
        data = self.receive()
        now = time.monotonic_ns()
        self._tail = self._tail[-KEPT:] + data
        if self.stream is None and (found := ID.search(self._tail)):
            self.served, self.stream = now, found[1].decode()
        if told := RETRY.search(self._tail):
            self.retry = int(told[1])
        if not data or self._tail.endswith(FINAL):
            self.ended = now


class Fleet(Readers[Source]):
    """All readers that are open."""

    def open(self, port: int) -> Source:
        """A new reader; it asks as soon as it is connected."""
        return self.add(Source(port))

    def open_all(self, port: int, count: int) -> list[Source]:
        """So many new readers, each of which has got its first event."""
        return self.open_served(lambda _: Source(port), range(count), LIMIT)
