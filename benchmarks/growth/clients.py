"""Thousands of readers; each sees whether every event is its own, and the next one."""

from __future__ import annotations

import random
import re
import socket
import time
from array import array
from typing import TYPE_CHECKING

from benchmarks.client.readers import Reader, Readers
from benchmarks.harness.process import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Sequence

FINAL = b"0\r\n\r\n"  # RFC 9112 section 7.1: the last chunk, without trailers
ID = re.compile(rb"\nstream-id: ([^\r]+)\r", re.IGNORECASE)
EVENT = re.compile(rb'"id": ?"(\d+)/(\d+)/(\d+)"')
STOPPED = b'"code":"stopped"'
PART = 40  # bytes of an event
TAIL = 256  # bytes of what was read before that are kept: what is looked for may come in two reads
LIMIT = 60.0  # seconds for a batch
GATHER = 0.002  # seconds
BUFFER = 16_384  # bytes that a reader who is to stop reading can hold
SEGMENT = 1_460  # bytes, as on a network: for the 64 KiB of the loopback Linux buffers megabytes
PORTS = 20_000  # of each address of ours; Linux has 28,232


class Member(Reader):
    """One stream. All times are `time.monotonic_ns()`, which is one clock for all processes.

    Attributes:
        number: which it is.
        events: how many came.
        stream: its stream's id, where the server says it.
        ended: its body or its connection has.
        was_stopped: it was told so.
        leaves_next: in the middle of its next event.
    """

    __slots__ = (
        "_delays",
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

    def __init__(
        self,
        port: int,
        number: int,
        query: str,
        delays: array[int],
        *,
        network: str = "127.0.0",
        narrow: bool = False,
    ) -> None:
        self.number = number
        self.events = 0
        self.stream: str | None = None
        self.ended = self.was_stopped = self.leaves_next = False
        self._delays = delays
        self._tail = b""
        path = f"/stream?number={number}&{query}"
        self.request = f"GET {path} HTTP/1.1\r\nHost: benchmark\r\n\r\n".encode()
        self.socket = socket.socket()
        self.socket.settimeout(0)
        if narrow:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
        self.socket.bind((f"{network}.{2 + number // PORTS}", 0))
        self.socket.connect_ex(("127.0.0.1", port))

    @property
    def is_served(self) -> bool:
        return self.events > 0

    @property
    def is_over(self) -> bool:
        return self.ended

    def ask(self) -> None:
        self.socket.send(self.request)

    def take(self) -> None:
        """Read what is there, and note how many ns after it was due each event came.

        Raises:
            BenchmarkError: An event is another stream's, or not the next.
        """
        if self.leaves_next:  # the kernel answers what still comes with a reset
            self.socket.recv(PART)
            self.socket.close()
        else:
            self._take(self._delays)

    def catch_up(self) -> None:
        """Read what came meanwhile, which says nothing of the server's delay."""
        self._take(array("q"))

    def _take(self, delays: array[int]) -> None:
        data = self.receive()
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


class Crowd(Readers[Member]):
    """All readers that are read.

    Attributes:
        delays: of each event, in ns, since they were last cleared.
    """

    def __init__(self, port: int) -> None:
        super().__init__(GATHER)
        # Its own network: where the ports of those who left still wait, Linux looks long for a free one.
        self._network = f"127.{random.randint(1, 254)}.{random.randint(0, 255)}"
        self._port = port
        self.delays: array[int] = array("q")

    def open(self, numbers: Sequence[int], query: str, *, narrow: bool = False) -> list[Member]:
        """A reader for each number, each of which has had its first event.

        Args:
            numbers: which.
            query: what each asks for.
            narrow: they can hold next to nothing that they have not read.
        """
        return self.open_served(
            lambda number: Member(
                self._port, number, query, self.delays, network=self._network, narrow=narrow
            ),
            numbers,
            LIMIT,
        )
