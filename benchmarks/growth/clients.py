"""Thousands of readers under one epoll; each sees whether every event is its own, and the next one."""

from __future__ import annotations

import re
import select
import socket
import time
from array import array
from typing import TYPE_CHECKING, Self

from benchmarks.harness.process import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

FINAL = b"0\r\n\r\n"  # RFC 9112 section 7.1: the last chunk, without trailers
ID = re.compile(rb"\nstream-id: ([^\r]+)\r", re.IGNORECASE)
EVENT = re.compile(rb'"id": ?"(\d+)/(\d+)/(\d+)"')
STOPPED = b'"code":"stopped"'
READ = 1 << 16
PART = 40  # bytes of an event
TAIL = 256  # bytes of what was read before that are kept: what is looked for may come in two reads
WIDTH = 512  # events taken per poll
BATCH = 100  # streams that are opened together
LIMIT = 60.0  # seconds for a batch
BUFFER = 16_384  # bytes that a reader who is to stop reading can hold
SEGMENT = 1_460  # bytes, as on a network: for the 64 KiB of the loopback Linux buffers megabytes
PORTS = 20_000  # of each address of ours; Linux has 28,232


class Reader:
    """One stream. All times are `time.monotonic_ns()`, which is one clock for all processes.

    Attributes:
        number: which it is.
        events: how many came.
        stream: its stream's id, where the server says it.
        ended: its body or its connection ended.
        was_stopped: it was told so.
        leaves_next: in the middle of its next event.
    """

    __slots__ = (
        "_tail",
        "ended",
        "events",
        "leaves_next",
        "number",
        "request",
        "socket",
        "stream",
        "was_stopped",
    )

    def __init__(self, port: int, number: int, query: str, *, narrow: bool) -> None:
        self.number = number
        self.events = 0
        self.stream: str | None = None
        self.ended = self.was_stopped = self.leaves_next = False
        self._tail = b""
        path = f"/stream?number={number}&{query}"
        self.request = f"GET {path} HTTP/1.1\r\nHost: benchmark\r\n\r\n".encode()
        self.socket = socket.socket()
        self.socket.settimeout(0)
        if narrow:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
        self.socket.bind((f"127.0.0.{2 + number // PORTS}", 0))
        self.socket.connect_ex(("127.0.0.1", port))

    def tear(self) -> None:
        """Read a part of what is there, and close: the kernel answers what still comes with a reset."""
        self.socket.recv(PART)
        self.socket.close()

    def take(self, delays: array[int]) -> None:
        """Read what is there, and note in `delays` how many ns after it was due each event came.

        Raises:
            BenchmarkError: An event is another stream's, or not the next.
        """
        try:
            data = self.socket.recv(READ)
        except OSError:
            data = b""
        now, end = time.monotonic_ns(), 0
        self.ended = not data
        data = self._tail + data
        for found in EVENT.finditer(data):
            end = found.end()
            number, index, due = map(int, found.groups())
            if (number, index) != (self.number, self.events):
                raise BenchmarkError(f"stream {self.number}: {index} of {number} for {self.events}")
            self.events += 1
            delays.append(now - due)
        if self.stream is None and (named := ID.search(data)):
            self.stream = named[1].decode()
        self.was_stopped = self.was_stopped or STOPPED in data
        self.ended = self.ended or data.endswith(FINAL)
        self._tail = data[max(end, len(data) - TAIL) :]


class Crowd:
    """All readers that are read; a context manager that closes what is left.

    Attributes:
        delays: of each event, in ns, since they were last cleared.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._poll = select.epoll()
        self._open: dict[int, Reader] = {}
        self.delays: array[int] = array("q")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reader in self._open.values():
            reader.socket.close()
        self._poll.close()

    def __len__(self) -> int:
        return len(self._open)

    def open(self, numbers: Iterable[int], query: str, *, narrow: bool = False) -> list[Reader]:
        """A reader for each number, each of which has had its first event.

        Args:
            numbers: which.
            query: what each asks for.
            narrow: they can hold next to nothing that they have not read.

        Raises:
            BenchmarkError: A batch of them was not served within `LIMIT` seconds.
        """
        readers: list[Reader] = []
        waiting = list(numbers)
        while waiting:
            batch = [Reader(self._port, number, query, narrow=narrow) for number in waiting[:BATCH]]
            del waiting[:BATCH]
            for reader in batch:
                self._open[reader.socket.fileno()] = reader
                self._poll.register(reader.socket, select.EPOLLOUT)
            self._until_served(batch)
            readers += batch
        return readers

    def _until_served(self, batch: list[Reader]) -> None:
        limit = time.monotonic() + LIMIT
        while not all(reader.events for reader in batch):
            if time.monotonic() > limit:
                raise BenchmarkError(f"{len(self)} streams are open, and no more are served")
            for ended in self.turn(1):
                raise BenchmarkError(f"stream {ended.number} was not served: {len(self)} are open")

    def turn(self, seconds: float) -> Iterator[Reader]:
        """Wait once, at most so long, and read what came; yield those whose stream ended."""
        for descriptor, event in self._poll.poll(max(0.0, seconds), WIDTH):
            reader = self._open.get(descriptor)
            if reader is None:  # left, or left alone, since
                continue
            if event & select.EPOLLOUT:
                reader.socket.send(reader.request)
                self._poll.modify(descriptor, select.EPOLLIN)
                continue
            if reader.leaves_next:
                self.leave_alone(reader)
                reader.tear()
                continue
            reader.take(self.delays)
            if reader.ended:
                self.leave_alone(reader)
                reader.socket.close()
                yield reader

    def read_for(self, seconds: float) -> list[Reader]:
        """Read for so long; those whose stream ended."""
        limit = time.monotonic() + seconds
        ended: list[Reader] = []
        while (left := limit - time.monotonic()) > 0:
            ended += self.turn(left)
        return ended

    def leave_alone(self, reader: Reader) -> None:
        """Read this one no more."""
        self._poll.unregister(reader.socket)
        del self._open[reader.socket.fileno()]

    def take_up(self, reader: Reader) -> None:
        """Read this one again."""
        self._open[reader.socket.fileno()] = reader
        self._poll.register(reader.socket, select.EPOLLIN)

    def close(self) -> None:
        """Close every connection at once."""
        for reader in [*self._open.values()]:
            self.leave_alone(reader)
            reader.socket.close()
