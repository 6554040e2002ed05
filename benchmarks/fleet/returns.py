"""When a server's clients come back after it has gone: EventSources that do as they were told."""

from __future__ import annotations

import heapq
import signal
import statistics
import sys
import time
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.fleet.clients import Fleet
from benchmarks.harness import machine, markdown
from benchmarks.harness.application import running
from benchmarks.harness.process import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.fleet.clients import Source

APP = "benchmarks.fleet.app"
RETRY = (1000, 3000)
"""The policy's default, in ms."""
BROWSER = 3000
"""What Chromium waits that was told nothing, in ms; Firefox waits 5000."""
BIN = 0.1  # seconds
LATE = 0.1  # seconds: a client that came later than it was told has not been the server's doing
LIMIT = 60.0  # seconds from the signal until all must be back


@dataclass(frozen=True, slots=True)
class Ending:
    """One way in which a server goes away.

    Attributes:
        name: in the table.
        retry: the policy's, in ms.
        signal: what it is sent.
        is_told: whether its clients are told when to come back.
    """

    name: str
    retry: tuple[int, int] | None = RETRY
    signal: signal.Signals = signal.SIGTERM
    is_told: bool = True

    @property
    def promise(self) -> tuple[int, int]:
        """The least and the most that a client waits, in ms."""
        return self.retry if self.retry is not None and self.is_told else (BROWSER, BROWSER + 1)


ENDINGS = (
    Ending("drained, `retry=(1000, 3000)`, the default"),
    Ending("drained, `retry=(1000, 10000)`", (1000, 10000)),
    Ending("drained, `retry=None`", None, is_told=False),
    Ending("killed", signal=signal.SIGKILL, is_told=False),
)


@dataclass(frozen=True, slots=True)
class Returns:
    """What became of each client; all times are seconds after the signal.

    Attributes:
        ending: how the server went away.
        released: when its stream had ended.
        came: when it connected to the other server.
        waited: from then, until it was served.
    """

    ending: Ending
    released: list[float]
    came: list[float]
    waited: list[float]

    def per_bin(self) -> Counter[int]:
        """How many came in each `BIN`."""
        return Counter(int(at / BIN) for at in self.came)

    def expected(self, at: float) -> float:
        """The share that should have come by then, by the promise of `retry` and when each was released."""
        least, most = (each / 1000 for each in self.ending.promise)
        waits = (at - released for released in self.released)
        parts = (min(1.0, max(0.0, (wait - least) / (most - least))) for wait in waits)
        return sum(parts) / len(self.released)

    def distance(self) -> float:
        """How far the share that came is ever from the one expected (Kolmogorov's), each 10 ms."""
        came = sorted(self.came)
        steps = (step / 100 for step in range(int(came[-1] * 100) + 2))
        return max(abs(bisect_right(came, at) / len(came) - self.expected(at)) for at in steps)


def measure(ending: Ending, clients: int) -> Returns:
    """Let `clients` be served, end their server, and see them come to another one."""
    retry = ("--retry", *map(str, ending.retry)) if ending.retry else ()
    other_core = str(machine.SERVER_CORE)
    with running(APP, *retry) as first, running(APP, "--core", other_core) as other, Fleet() as fleet:
        readers = fleet.open_all(first.port, clients)
        signalled = time.monotonic_ns()
        first.process.send_signal(ending.signal)
        back = _come_back(fleet, readers, other.port)
    _see_what_was_told(ending, readers)
    return Returns(
        ending,
        released=[((reader.ended or 0) - signalled) / 1e9 for reader in readers],
        came=[(reader.asked - signalled) / 1e9 for reader in back],
        waited=[((reader.served or 0) - reader.asked) / 1e9 for reader in back],
    )


def _see_what_was_told(ending: Ending, readers: Sequence[Source]) -> None:
    least, most = ending.promise
    told = [reader.retry for reader in readers]
    wrong = [each for each in told if (each is not None and least <= each <= most) != ending.is_told]
    if wrong:
        raise BenchmarkError(f"{len(wrong)} of {len(told)} were told otherwise: {wrong[:5]}")


def _come_back(fleet: Fleet, readers: Sequence[Source], port: int) -> list[Source]:
    """Each reader, once its stream has ended, waits as told and connects to `port`; all that did."""
    leaving = set(readers)
    due: list[int] = []
    back: list[Source] = []
    late = 0.0
    limit = time.monotonic() + LIMIT
    while len(back) < len(readers) or any(reader.served is None for reader in back):
        if time.monotonic() > limit:
            raise BenchmarkError(f"{len(back)} of {len(readers)} came back, {len(leaving)} are still there")
        pause = (due[0] - time.monotonic_ns()) / 1e9 if due else 1.0
        for reader in fleet.turn(min(pause, 1.0)):
            if reader not in leaving or reader.ended is None:
                raise BenchmarkError("the other server ended a stream, or refused it")
            leaving.remove(reader)
            wait = BROWSER if reader.retry is None else reader.retry
            heapq.heappush(due, reader.ended + wait * 1_000_000)
        while due and due[0] <= (now := time.monotonic_ns()):
            late = max(late, (now - heapq.heappop(due)) / 1e9)
            back.append(fleet.open(port))
    if late > LATE:
        print(f"the clients were held up for {late:.2f} s: the machine is too busy for this", file=sys.stderr)
    return back


def table(results: Sequence[Returns]) -> str:
    """The figures, as Markdown."""
    head = (
        "the server was",
        "released",
        "came back",
        "most in 100 ms",
        "distance from the promise",
        "served after p50 / p99 / max",
    )
    return markdown.table(head, ["---"] * len(head), [*map(_row, results)])


def _row(returns: Returns) -> tuple[str, ...]:
    cuts = statistics.quantiles(returns.waited, n=100, method="inclusive")
    waited = " / ".join(f"{value * 1000:.0f}" for value in (cuts[49], cuts[98], max(returns.waited)))
    return (
        returns.ending.name,
        f"{min(returns.released):.2f}–{max(returns.released):.2f} s",
        f"{min(returns.came):.1f}–{max(returns.came):.1f} s",
        f"{max(returns.per_bin().values()):,}",
        f"{returns.distance():.3f}" if returns.ending.is_told else "",
        f"{waited} ms",
    )
