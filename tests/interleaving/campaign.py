"""Plays many schedules, and counts them."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.interleaving.laws import broken_laws
from tests.interleaving.play import Play, Reports, world
from tests.interleaving.schedule import Schedule
from tests.interleaving.trace import faults, report, shrunk

BATCH = 250
"""Schedules between two rounds of the garbage collector, which finds what was forgotten."""

_ENOUGH = 3
"""Failures after which the rest is not played."""


@dataclass
class Campaign:
    """What came of it.

    Attributes:
        ran: Schedules played.
        distinct: Those that differ in what ran and happened, not only in what they asked for.
        handles: Handles of the event loop that ran.
        outcomes: How streams ended.
        failures: Schedules that broke a law.
    """

    ran: int = 0
    handles: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[Schedule] = field(default_factory=list)
    _seen: set[int] = field(default_factory=set)

    @property
    def distinct(self) -> int:
        return len(self._seen)

    def play(self, schedules: Iterable[Schedule]) -> None:
        """Play them all; or until enough have failed."""
        batch: list[Schedule] = []
        with world() as reports, _at_full_speed():
            for schedule in schedules:
                batch.append(schedule)
                if len(batch) == BATCH:
                    self._batch(batch, reports)
                    batch = []
                    if len(self.failures) >= _ENOUGH:
                        return
            self._batch(batch, reports)

    def _batch(self, batch: list[Schedule], reports: Reports) -> None:
        loops = [self._one(schedule, reports) for schedule in batch]
        known = sum(map(len, loops))
        gc.collect()
        if sum(map(len, loops)) > known:  # somebody in this batch was forgotten
            self.failures += [schedule for schedule in batch if faults(schedule)]

    def _one(self, schedule: Schedule, reports: Reports) -> list[str]:
        reports.records.clear()
        play = Play(schedule)
        try:
            play.run()
            broken = broken_laws(play, reports.records)
        except Exception as error:
            broken = [repr(error)]
        if broken:
            self.failures.append(schedule)
        self._count(play)
        return play.loop.complaints

    def _count(self, play: Play) -> None:
        self.ran += 1
        self.handles += play.loop.ran
        self.outcomes.update(ending.outcome.value for ending in play.endings)
        schedule = play.schedule
        where = (schedule.flavour, schedule.wire, schedule.prelude, schedule.source)
        self._seen.add(hash((where, schedule.names, tuple(play.happened))))

    def complain(self) -> str:
        """The first failures, for a person; those that come to the same once."""
        told: dict[str, str] = {}
        for schedule in self.failures[:_ENOUGH]:
            simplest = shrunk(schedule)
            told.setdefault(simplest.code, report(schedule, simplest))
        return "\n\n".join(told.values())


@contextmanager
def _at_full_speed() -> Iterator[None]:
    """Without the garbage collector, which runs between batches, and coverage, which has seen it all."""
    tracing = sys.gettrace()
    gc.collect()
    gc.freeze()
    gc.disable()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracing)
        gc.enable()
