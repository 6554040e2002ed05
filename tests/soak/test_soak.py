"""After very many streams that ended in all ways: tasks, threads, descriptors and memory as before."""

from __future__ import annotations

import _weakrefset
import asyncio
import gc
import logging
import statistics
import sys
import threading
import time
import tracemalloc
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.applications import Starlette

from endwell import Ending, Streams
from tests.census import DESCRIPTORS
from tests.soak.kinds import KINDS, Tally, play

AT_ONCE = 3 * len(KINDS)
"""Streams that are alive together."""
SLOPE = 1024.0
"""Bytes that a thousand streams may leave behind."""

Record = Callable[[str, object], None]


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    """No log: pytest would keep each record, with its traceback, until the test is over."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def collector(request: pytest.FixtureRequest) -> Iterator[str]:
    """The garbage collector does not run by itself, or does and does not see what was there before."""
    gc.disable() if request.param == "disabled" else gc.freeze()
    yield request.param
    gc.enable()


in_two_ways = pytest.mark.parametrize(
    ("collector", "told"),
    [pytest.param("disabled", True, id="told-disabled"), pytest.param("frozen", False, id="untold-frozen")],
    indirect=["collector"],
)


@dataclass
class Held:
    """What the process holds after a window of streams."""

    tasks: int = 0
    threads: int = 0
    descriptors: int = 0

    @classmethod
    def now(cls) -> Held:
        return cls(len(asyncio.all_tasks()), threading.active_count(), sum(1 for _ in DESCRIPTORS.iterdir()))


@dataclass
class Soak:
    """Runs streams in windows, and looks at the process after each.

    Attributes:
        told: The streams have an `on_end` of their own, and the application has one.
        memory: Bytes that Python's allocator has given out, after each window; at: after so many streams.
        abandoned: Async generators that the garbage collector had to close.
        garbage: Objects in cycles that the collections have found.
    """

    told: bool
    tally: Tally = field(default_factory=Tally)
    memory: list[int] = field(default_factory=list)
    at: list[int] = field(default_factory=list)
    abandoned: list[str] = field(default_factory=list)
    garbage: int = 0
    endings: int = 0
    streams: int = 0

    async def window(self, rounds: int, kinds: list[str]) -> None:
        for _ in range(rounds):
            await self._round(kinds)
            self._check_all_is_finished()
            self.garbage += gc.collect()
        if tracemalloc.is_tracing():
            self.memory.append(_allocated())
            self.at.append(self.streams)

    async def _round(self, kinds: list[str]) -> None:
        """Streams of all kinds at a time, then the end of the application's life, which drains the rest."""
        streams = Streams()
        if self.told:
            streams.on_end(self._hear)
        async with streams.lifespan(Starlette()) as state:
            tasks = [
                asyncio.create_task(play(kind, self.tally, streams, state, told=self.told)) for kind in kinds
            ]
            rest = {task for task, kind in zip(tasks, kinds, strict=True) if not kind.startswith("drained")}
            await asyncio.wait(rest)
        await asyncio.wait(tasks)
        for task in tasks:
            task.result()
        self.streams += len(kinds)

    async def _hear(self, ending: Ending) -> None:
        self.endings += 1

    def _check_all_is_finished(self) -> None:
        """Before the garbage collector has had a look: it has nothing to do with it."""
        assert self.tally.finished == self.tally.begun
        assert not self.abandoned

    def count_abandoned(self) -> None:
        """Write down every async generator that the garbage collector finishes from now on."""
        before = sys.get_asyncgen_hooks()

        def finalize(generator: AsyncGenerator[Any, Any]) -> None:
            self.abandoned.append(repr(generator))
            if before.finalizer is not None:
                before.finalizer(generator)

        sys.set_asyncgen_hooks(firstiter=before.firstiter, finalizer=finalize)

    def check(self) -> None:
        assert not self.abandoned
        if not self.told:
            return
        streams = [kind for kind in KINDS if KINDS[kind].outcome is not None]
        assert set(self.tally.outcomes) == {(kind, KINDS[kind].outcome) for kind in streams}
        assert self.endings == self.tally.outcomes.total()

    def slope(self) -> float:
        """Bytes for a thousand streams, by linear regression; the first fifth of the windows is warm-up."""
        warm = len(self.memory) // 5
        at = [streams / 1000 for streams in self.at[warm:]]
        return statistics.linear_regression(at, self.memory[warm:]).slope


def _allocated() -> int:
    """Bytes that Python's allocator has given out since the tracing began.

    Without the tables of weak sets: the event loop keeps its tasks and async generators in such, and the size
    of a table says how often it was enlarged, not what it holds. What it holds is counted where it was made.
    """
    not_counted = [tracemalloc.Filter(False, file) for file in (_weakrefset.__file__, tracemalloc.__file__)]
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces(not_counted).traces)


async def run(soak: Soak, windows: int, rounds: int, *, traced: bool) -> None:
    """Run windows of so many rounds of all kinds, with or without a look at the memory after each."""
    kinds = list(KINDS) * (AT_ONCE // len(KINDS))
    soak.count_abandoned()
    await soak.window(1, kinds)
    before = Held.now()
    if traced:
        tracemalloc.start(1)
    try:
        for _ in range(windows):
            await soak.window(rounds, kinds)
            assert Held.now() == before
    finally:
        tracemalloc.stop()
    soak.check()


@in_two_ways
async def test_a_thousand_streams_leave_nothing_behind(collector: str, told: bool) -> None:
    await run(Soak(told), windows=2, rounds=5, traced=False)


@pytest.mark.prove
@pytest.mark.timeout(1800)
@in_two_ways
async def test_a_hundred_thousand_streams_leave_nothing_behind(
    collector: str, told: bool, record_property: Record
) -> None:
    soak, since = Soak(told), time.monotonic()
    await run(soak, windows=20, rounds=-(-100_000 // (20 * AT_ONCE)), traced=True)
    slope = soak.slope()
    summary = (
        f"{soak.streams} streams, gc {collector}, {'told' if told else 'untold'}:"
        f" {slope:.0f} bytes per 1,000 streams,"
        f" {soak.garbage / soak.streams:.0f} objects in cycles each,"
        f" {time.monotonic() - since:.0f} s"
    )
    record_property("soak", summary)
    print(summary)
    assert slope < SLOPE, list(zip(soak.at, soak.memory, strict=True))
