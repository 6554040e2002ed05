"""A stop among thousands of streams: from the request to the source's `finally`, and to the last frame."""

from __future__ import annotations

import json
import random
import socket
import statistics
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.client import get
from benchmarks.fleet.clients import Fleet
from benchmarks.harness.application import running
from benchmarks.harness.process import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.fleet.clients import Source

APP = "benchmarks.fleet.app"
STOPS = 500
PACE = 0.02  # seconds between two stops
LATE = 0.02  # seconds: a client that was held up for so long measures itself
SETTLE = 2.0  # seconds until the last one's frame must have come
LOOPS = ("uvloop", "asyncio")
KINDS = {"silent": None, "1 event/s each": 1.0}


@dataclass(slots=True)
class Case:
    """One server with its streams, and what was measured: milliseconds of each stop."""

    loop: str
    kind: str
    streams: int
    to_finally: list[float] = field(default_factory=list)
    to_last_frame: list[float] = field(default_factory=list)

    def add(self, stopped: Sequence[Source], asked: Sequence[int], left: Mapping[str, int]) -> None:
        """Take the times of these: when each was asked for, and when each source left, in ns.

        Raises:
            BenchmarkError: One was not told, or a source did not leave, or one that was not asked to.
        """
        told = [reader for reader in stopped if reader.ended is not None]
        if len(told) < len(stopped) or left.keys() != {reader.stream for reader in stopped}:
            raise BenchmarkError(f"of {len(stopped)} stops {len(told)} were told, {len(left)} sources left")
        for reader, at in zip(stopped, asked, strict=True):
            self.to_finally.append((left[reader.stream or ""] - at) / 1e6)
            self.to_last_frame.append(((reader.ended or 0) - at) / 1e6)


def measure(streams: int, stops: int = STOPS) -> Iterator[Case]:
    """Every loop with every kind of stream, each on a fresh server."""
    for loop in LOOPS:
        for kind, every in KINDS.items():
            options = ("--every", str(every)) if every is not None else ()
            with running(APP, "--loop", loop, *options) as server, Fleet() as fleet:
                readers = fleet.open_all(server.port, streams)
                _read_for(fleet, SETTLE)  # so that those that opened last are as old as the first
                chosen = random.sample(readers, stops)
                asked = _stop(fleet, server.port, chosen)
                case = Case(loop, kind, streams)
                case.add(chosen, asked, json.loads(get(server.port, "/left")))
            yield case


def _stop(fleet: Fleet, port: int, chosen: Sequence[Source]) -> list[int]:
    """Press the stop button of one after the other, on one connection; when each was pressed, in ns."""
    asked, late = [], 0.0
    with socket.create_connection(("127.0.0.1", port)) as button:
        button.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for reader in chosen:
            request = (
                f"POST /streams/{reader.stream}/stop HTTP/1.1\r\nHost: benchmark\r\nContent-Length: 0\r\n\r\n"
            )
            asked.append(time.monotonic_ns())
            button.send(request.encode())
            late = max(late, _read_for(fleet, PACE))
            _see_the_answer(button)
    _read_for(fleet, SETTLE)
    if late > LATE:
        print(f"the client was held up for {late:.2f} s: the machine is too busy for this", file=sys.stderr)
    return asked


def _see_the_answer(button: socket.socket) -> None:
    answer = b""
    while not answer.endswith(b"}"):
        if not (more := button.recv(4096)):
            break
        answer += more
    if b'"stopped"' not in answer:
        raise BenchmarkError(f"not stopped: {answer!r}")


def _read_for(fleet: Fleet, seconds: float) -> float:
    """Read what comes in such a time; the seconds by which it became longer."""
    limit = time.monotonic() + seconds
    fleet.read_for(seconds)
    return time.monotonic() - limit


def table(cases: Sequence[Case]) -> str:
    """The quantiles, as Markdown."""
    lines = ["| uvicorn on | streams | stops | until | p50 | p99 | max |", "|---|---|---|---|---|---|---|"]
    for case in cases:
        for until, values in (("`finally`", case.to_finally), ("last frame", case.to_last_frame)):
            cuts = statistics.quantiles(values, n=100, method="inclusive")
            figures = " | ".join(f"{value:.1f} ms" for value in (cuts[49], cuts[98], max(values)))
            what = f"{case.streams:,}, {case.kind}"
            lines.append(f"| {case.loop} | {what} | {len(values)} | {until} | {figures} |")
    return "\n".join(lines)
