"""The server process, as its clients' process sees it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.client import get
from benchmarks.harness import application, machine
from benchmarks.harness.process import BenchmarkError

LIMIT = 60.0  # seconds in which what has to end must have ended


@dataclass(frozen=True, slots=True)
class Seen:
    """What the process saw of itself in one phase; all but the last in ms.

    Attributes:
        late_p99: how late its loop was.
        late_most: the same, at its worst.
        pause_most: for how long the garbage collector held it, at its worst.
        pause_sum: the same, in all.
        full_collections: how often the collector looked at everything.
    """

    late_p99: float
    late_most: float
    pause_most: float
    pause_sum: float
    full_collections: int


@dataclass(frozen=True, slots=True)
class Census:
    """What there is in the process.

    Attributes:
        tasks: of its event loop.
        threads: Python's.
        descriptors: that are open.
        unreachable: objects that only the garbage collector could free.
        objects: that it has to look at.
    """

    tasks: int
    threads: int
    descriptors: int
    unreachable: int
    objects: int


@dataclass(frozen=True, slots=True)
class Server:
    """A running server.

    Attributes:
        pid: of its process.
        port: where it listens.
    """

    pid: int
    port: int

    def cpu(self) -> float:
        """Processor time used so far, in seconds."""
        return machine.cpu_seconds(self.pid)

    def waited(self) -> float:
        """Seconds in which it could have run, and another program was on its core."""
        return machine.waited_seconds(self.pid)

    def memory(self) -> float:
        """Resident memory now, in KiB."""
        return machine.resident_kib(self.pid)

    def seen(self) -> Seen:
        """How late its loop was and how long its collector held it, since it was last asked."""
        return Seen(**json.loads(get(self.port, "/seen")))

    def census(self, *, collect: bool = False) -> Census:
        """What there is in the process; with `collect`, after the garbage collector has been there."""
        return Census(**json.loads(get(self.port, f"/census?{'collect' if collect else ''}")))

    def begin(self) -> None:
        """Let the events of those begin that are held."""
        get(self.port, "/begin")

    def endings(self) -> list[tuple[str, str, int]]:
        """Of each stream that is over: its id, its outcome, its chunks."""
        return [(each[0], each[1], each[2]) for each in json.loads(get(self.port, "/endings"))]

    def until(self, tasks: int) -> None:
        """Wait until it has no more than so many tasks.

        Raises:
            BenchmarkError: It has more after `LIMIT` seconds.
        """
        limit = time.monotonic() + LIMIT
        while (there := self.census().tasks) > tasks:
            if time.monotonic() > limit:
                raise BenchmarkError(f"{there} tasks are still there, of which {tasks} should be")
            time.sleep(0.02)


@contextmanager
def running(*options: str) -> Iterator[Server]:
    """Start the application with these options, and stop it at the end of the block; show what it wrote."""
    with application.running("benchmarks.growth.app", *options) as server:
        yield Server(server.process.pid, server.port)
