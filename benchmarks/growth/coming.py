"""What it costs to come when many are there, and what the garbage collector makes of it: by its settings."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.growth.app import COLLECTORS, RARELY
from benchmarks.growth.clients import Crowd
from benchmarks.growth.server import Seen, running
from benchmarks.harness import markdown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.growth.server import Server

STREAMS = 5_000
PARTS = 5
PERIOD = 1.0  # seconds between two events of a stream
NAMES = {
    "default": "CPython's own",
    "frozen": "`gc.freeze()` after start-up",
    "rarely": f"`gc.set_threshold{RARELY}`",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the crowd comes, while those who are there have their events.

    Attributes:
        collector: how it is set.
        streams: how many are there when all of the part have come.
        took: seconds until they had.
        server: µs of the server's processor time for each, and for the events of the others meanwhile.
        delay: ms from when an event was due until its client had it, 99th percentile.
        seen: what the server's process saw of itself.
    """

    collector: str
    streams: int
    took: float
    server: float
    delay: float
    seen: Seen


def measure(streams: int) -> Iterator[Part]:
    """So many come, in parts, with each setting of the collector."""
    for collector in COLLECTORS:
        with running("--collector", collector) as server, Crowd(server.port) as crowd:
            server.seen()
            for number in range(PARTS):
                numbers = range(streams * number // PARTS, streams * (number + 1) // PARTS)
                yield _come(collector, server, crowd, numbers)


def _come(collector: str, server: Server, crowd: Crowd, numbers: range) -> Part:
    del crowd.delays[:]
    spent, begun = server.cpu(), time.monotonic()
    crowd.open(numbers, f"period={PERIOD}")
    took, spent = time.monotonic() - begun, server.cpu() - spent
    return Part(
        collector,
        numbers.stop,
        took,
        spent / len(numbers) * 1e6,
        statistics.quantiles(crowd.delays, n=100, method="inclusive")[98] / 1e6,
        server.seen(),
    )


def table(parts: Sequence[Part]) -> str:
    """The figures, as Markdown."""
    head = (
        "the collector",
        "streams",
        "full collections",
        "the longest",
        "all collections",
        "events late, p99",
        "µs/stream",
    )
    return markdown.table(head, ["---"] * len(head), [*map(_row, parts)])


def _row(part: Part) -> tuple[str, ...]:
    return (
        NAMES[part.collector],
        f"{part.streams:,}",
        f"{part.seen.full_collections}",
        f"{part.seen.pause_most:.0f} ms",
        f"{part.seen.pause_sum:.0f} ms",
        f"{part.delay:.0f} ms",
        f"{part.server:.0f}",
    )
