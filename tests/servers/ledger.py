"""What the application under test writes down about its sources, and reports over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any

from endwell import Ending, current_stream

CLEANUP = 0.02
"""Seconds a source's awaited cleanup takes: long enough to be lost if cancelled, short enough for 200."""


@dataclass
class Record:
    """One source. Times are `time.monotonic_ns()`: the same clock in the tests' process.

    Attributes:
        key: the client's own number for it.
        left: the exception that went through the source, by name; None if it ended by itself.
        cleanup: when its `finally` was entered; done: when the awaited cleanup had finished.
        endings: every ending that `streams.on_end` reported for its stream.
        told: every ending that the response's own `on_end` reported.
    """

    key: str
    started: int
    stream: str | None = None
    left: str | None = None
    cleanup: int | None = None
    done: int | None = None
    chunks: int = 0
    thread: bool = False
    endings: list[dict[str, Any]] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Ledger:
    """All records, by the tag that the request carried."""

    records: dict[str, list[Record]] = field(default_factory=lambda: defaultdict(list))
    streams: dict[str, Record] = field(default_factory=dict)
    orphans: list[dict[str, Any]] = field(default_factory=list)

    def open(self, tag: str, key: str) -> Record:
        """A new record under `tag`."""
        record = Record(key, started=time.monotonic_ns())
        self.records[tag].append(record)
        return record

    def claim(self, record: Record) -> None:
        """Note that the running source belongs to `record`."""
        record.stream = current_stream().id
        self.streams[record.stream] = record

    def ended(self, ending: Ending) -> None:
        """Take an ending; one whose source never started is an orphan."""
        record = self.streams.get(ending.id)
        endings = self.orphans if record is None else record.endings
        endings.append(_summary(ending))

    def told(self, ending: Ending) -> None:
        """Take an ending from a response's own callback."""
        record = self.streams.get(ending.id)
        if record is not None:
            record.told.append(_summary(ending))

    def report(self, tag: str) -> dict[str, Any]:
        """The records of `tag`, and all endings without a source."""
        return {"records": [asdict(record) for record in self.records.get(tag, [])], "orphans": self.orphans}

    def watch(self, tag: str, key: str, *, cleanup: float = CLEANUP) -> Watch:
        """For `async with` around a source's body: a `finally` that awaits for `cleanup` seconds."""
        return Watch(self, self.open(tag, key), cleanup)

    def plain(self, tag: str, key: str) -> Watch:
        """The same for a handler that is no stream."""
        return Watch(self, self.open(tag, key), CLEANUP, stream=False)


def _summary(ending: Ending) -> dict[str, Any]:
    names = ("id", "route", "chunks", "bytes", "duration", "cleanup", "overdue", "reason", "reference")
    picked = {name: getattr(ending, name) for name in names}
    error = None if ending.error is None else repr(ending.error)
    return {**picked, "outcome": str(ending.outcome), "cause": str(ending.cause), "error": error}


@dataclass
class Watch:
    """Writes down how the block was left, and that its awaited cleanup finished."""

    ledger: Ledger
    record: Record
    seconds: float
    stream: bool = True

    async def __aenter__(self) -> Record:
        if self.stream:
            self.ledger.claim(self.record)
        return self.record

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.record.left = None if kind is None else kind.__name__
        self.record.cleanup = time.monotonic_ns()
        await asyncio.sleep(self.seconds)
        self.record.done = time.monotonic_ns()
