"""What one stream costs among 100, 1,000 and 10,000: as many events a second, by ever more streams."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.growth.clients import Crowd
from benchmarks.growth.server import Seen, running
from benchmarks.harness import markdown
from benchmarks.harness.process import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.growth.server import Server

SIZES = (100, 1_000, 10_000)
RATE = 4_000  # events a second, of all streams together
WARM = 50  # streams that are open before anything is counted, and stay: freed memory would count as gained
SETTLE = 2.0  # seconds, so that what opened last is as old as the rest
CATCH_UP = 0.5  # seconds
SECONDS = 10.0
ENOUGH = (
    0.95  # share of the events that must come: else the server was not able to, and no mean says anything
)


@dataclass(frozen=True, slots=True)
class Step:
    """One peer with one number of streams. All that is of one stream, or one event, is a mean.

    Attributes:
        peer: whose streams.
        streams: how many.
        memory: KiB of the server's process, of one stream.
        objects: that the garbage collector looks at, of one stream.
        opening: µs of the server's processor time, of one stream, until its first event is out.
        closing: the same, from the client's leaving until nothing of the stream is left.
        event: µs of the server's processor time, of one event.
        delay: ms from when an event was due until the client had it, median and 99th percentile.
        while_opening: what the process saw of itself.
        while_open: the same.
        while_closing: the same.
        garbage: objects that ended streams left to the garbage collector, of one stream.
        client: share of its core that the client was busy.
    """

    peer: str
    streams: int
    memory: float
    objects: float
    opening: float
    closing: float
    event: float
    delay: tuple[float, float]
    while_opening: Seen
    while_open: Seen
    while_closing: Seen
    garbage: float
    client: float


def measure(peers: Sequence[str], sizes: Sequence[int]) -> Iterator[Step]:
    """Each size with each peer, on a fresh server."""
    for size in sizes:
        for peer in peers:
            with running("--peer", peer) as server, Crowd(server.port) as crowd:
                yield _step(peer, size, server, crowd)


def _step(peer: str, size: int, server: Server, crowd: Crowd) -> Step:
    period = size / RATE
    with Crowd(server.port) as warm:
        warm.open(range(WARM), "period=3600")
        before, memory = server.census(collect=True), server.memory()
        server.seen()
        spent = server.cpu()
        crowd.open(range(size), f"period={period}&held=1")
        opening, while_opening = server.cpu() - spent, server.seen()
        server.begin()
        crowd.read_for(max(SETTLE, 2 * period))  # by then each has had its second event
        memory = server.memory() - memory
        objects = server.census(collect=True).objects - before.objects
        run = _run(server, crowd)
        spent = server.cpu()
        crowd.close()
        server.until(before.tasks)
        closing, while_closing = server.cpu() - spent, server.seen()
        garbage = server.census(collect=True).unreachable
    return Step(
        peer=peer,
        streams=size,
        memory=memory / size,
        objects=objects / size,
        opening=opening / size * 1e6,
        closing=closing / size * 1e6,
        event=run.event,
        delay=run.delay,
        while_opening=while_opening,
        while_open=run.seen,
        while_closing=while_closing,
        garbage=garbage / size,
        client=run.client,
    )


class _Run(NamedTuple):
    """What was measured while events came; see `Step`."""

    event: float
    delay: tuple[float, float]
    client: float
    seen: Seen


def _run(server: Server, crowd: Crowd) -> _Run:
    server.seen()
    crowd.read_for(CATCH_UP)  # nobody has read while the server was asked
    del crowd.delays[:]
    spent, own, begun = server.cpu(), time.process_time(), time.monotonic()
    for ended in crowd.read_for(SECONDS):
        raise BenchmarkError(f"stream {ended.number} ended")
    spent, own, took = server.cpu() - spent, time.process_time() - own, time.monotonic() - begun
    if len(crowd.delays) < RATE * SECONDS * ENOUGH:
        raise BenchmarkError(f"{len(crowd.delays)} events came, of {RATE * SECONDS:.0f}")
    cuts = statistics.quantiles(crowd.delays, n=100, method="inclusive")
    return _Run(spent / len(crowd.delays) * 1e6, (cuts[49] / 1e6, cuts[98] / 1e6), own / took, server.seen())


def table(steps: Sequence[Step]) -> str:
    """The figures, as Markdown."""
    head = (
        "streams",
        "of",
        "KiB each",
        "objects each",
        "µs to open",
        "µs to close",
        "µs/event",
        "delay p50 / p99",
        "loop late p99 / most",
        "longest pause opening / open / closing",
        "left to the collector",
    )
    return markdown.table(head, ["---"] * len(head), [*map(_row, steps)])


def _row(step: Step) -> tuple[str, ...]:
    phases = (step.while_opening, step.while_open, step.while_closing)
    return (
        f"{step.streams:,}",
        step.peer,
        f"{step.memory:.1f}",
        f"{step.objects:.0f}",
        f"{step.opening:.0f}",
        f"{step.closing:.0f}",
        f"{step.event:.1f}",
        f"{step.delay[0]:.1f} / {step.delay[1]:.1f} ms",
        f"{step.while_open.late_p99:.1f} / {step.while_open.late_most:.0f} ms",
        " / ".join(f"{phase.pause_most:.0f}" for phase in phases) + " ms",
        f"{step.garbage:.0f}",
    )
