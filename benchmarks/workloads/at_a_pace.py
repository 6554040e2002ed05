"""Work 3: a thousand models that write for a thousand readers, each at its own pace of 20 tokens a second.

The pace is kept whatever the server does: a token is due at its time, and one that is taken later is late by
that much. A server that cannot keep up falls further and further behind, as it would beside real models.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from typing import TYPE_CHECKING

from benchmarks.client import Crowd, get
from benchmarks.event import Token, token
from benchmarks.harness.process import BenchmarkError, Served
from benchmarks.scene import Scene
from benchmarks.workloads.base import Metric, Target, Workload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from benchmarks.client import Stream

STREAMS = 1_000
SECONDS = 10.0
PERIOD = 50_000_000  # ns from one token of a stream to its next
LEAD = 100_000_000  # ns from the word to begin until the first token
SETTLED = 500_000_000  # ns from there until counting begins: what is late then is late at the end as well
TIME = re.compile(rb'"chatcmpl-8([0-9a-f]{16})"')
CUT = 27  # bytes of a time that may have come before its last


class Score:
    """What the server's sources play from: all wait for the word, then each for its times."""

    def __init__(self) -> None:
        self._begun = asyncio.Event()
        self._begins = 0

    def begin(self) -> bytes:
        """Give the word; the answer is when it begins. CLOCK_MONOTONIC is one clock for all processes."""
        self._begins = time.monotonic_ns() + LEAD
        self._begun.set()
        return str(self._begins).encode()

    async def play(self, number: int) -> AsyncIterator[Token]:
        """Yield one event at once, and after the word one for each period, with its time in its id."""
        yield token(0)
        await self._begun.wait()
        due = self._begins + PERIOD * (number % STREAMS) // STREAMS
        index = 0
        while True:
            wait = due - time.monotonic_ns()
            if wait > 0:
                await asyncio.sleep(wait / 1e9)
            index += 1
            yield {**token(index), "id": f"chatcmpl-8{due:016x}"}
            due += PERIOD


class Reader:
    """One stream's tokens as they come: when each was due, and how late it was."""

    def __init__(self) -> None:
        self.due: list[int] = []
        self.late: list[int] = []
        self._rest = b""

    def take(self, stream: Stream) -> None:
        """Read what is there."""
        data = self._rest + stream.take()
        now, end = time.monotonic_ns(), 0
        for found in TIME.finditer(data):
            end = found.end()
            self.due.append(int(found[1], 16))
            self.late.append(now - self.due[-1])
        self._rest = data[max(end, len(data) - CUT) :]

    def until(self, end: int) -> list[int]:
        """How late each token due before `end` was; those still to come were that late at least.

        Raises:
            BenchmarkError: One is missing between others, or came twice.
        """
        if not self.due:
            return []
        if self.due != [*range(self.due[0], self.due[-1] + 1, PERIOD)]:
            raise BenchmarkError("a stream's tokens are not those that were due")
        return self.late + [end - due for due in range(self.due[-1] + PERIOD, end, PERIOD)]


def read(crowd: Crowd, readers: Mapping[Stream, Reader], end: int) -> None:
    """Read all streams until the time `end`."""
    while (left := end - time.monotonic_ns()) > 0:
        for stream in crowd.ready(left / 1e9):
            readers[stream].take(stream)


def measure(server: Served, scale: float) -> Mapping[str, float]:
    """All streams at once, for some seconds."""
    with Crowd(server.port) as crowd:
        readers = {
            stream: Reader()
            for stream in crowd.open_started([f"/stream?{number}" for number in range(STREAMS)])
        }
        begins = int(get(server.port, "/begin"))
        end = begins + SETTLED + round(SECONDS * scale * 1e9)
        read(crowd, readers, begins + SETTLED)
        before = sum(len(reader.due) for reader in readers.values())
        with server.account() as spent:
            read(crowd, readers, end)
        came = sum(len(reader.due) for reader in readers.values()) - before
        late = [delay for reader in readers.values() for delay in reader.until(end)]
    if not came:
        raise BenchmarkError("no token came")
    due = STREAMS * SECONDS * scale * 1e9 / PERIOD
    return {
        "token": spent.server / came * 1e6,
        "rate": came / due,
        "p99": statistics.quantiles(late, n=100, method="inclusive")[98] / 1e6,
    }


SCORE = Score()

WORKLOAD = Workload(
    number=3,
    title="1,000 streams × 20 tokens/s",
    scene=Scene(streams={"/stream": SCORE.play}, pages={"/begin": SCORE.begin}),
    metrics={
        "token": Metric("µs/token", (Target(0.9),)),
        "rate": Metric("share of the rate", (Target(0.995, None, at_least=True),), has_ratios=False),
        "p99": Metric("p99 delay, ms", (Target(1.0),)),
    },
    measure=measure,
)
