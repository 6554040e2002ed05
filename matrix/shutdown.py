"""SIGTERM in every situation on every server: how long until the process is gone, and what went wrong.

The launches, the situations and what must be true are those of `tests/shutdown`; here each is repeated.
"""

from __future__ import annotations

import contextlib
import math
import random
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeAlias

from tests.shutdown.batch import launch
from tests.shutdown.launch import Case, Report
from tests.shutdown.laws import broken, exits_in_time
from tests.shutdown.served import Served
from tests.shutdown.situations import SITUATIONS

NOTHING = "nothing"
"""The row of a server without any stream: what it takes by itself."""
CROWD = "crowd"
"""The row of very many readers that never read."""
TOGETHER = 24
"""Launches in a batch."""
SAYS_EVERY = 5
CLIENTS = 1000


Part: TypeAlias = tuple[Served, str]
"""A server, and the row."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to launch, and how often.

    Attributes:
        launches: of each server at least, spread over its configurations and the situations.
        crowd: readers that never read, once on each configuration; 0 for none.
        situations: their names.
    """

    servers: Sequence[Served]
    launches: int
    crowd: int
    situations: Sequence[str] = tuple(SITUATIONS)

    @property
    def rows(self) -> list[str]:
        """What the table has a row for."""
        return [NOTHING, *self.situations, *([CROWD] if self.crowd else [])]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One launch.

    Attributes:
        exited: seconds from the signal to the end of the process; None: it had to be killed.
        in_time: it was gone when it had to be.
        wrong: all that was not as it must be.
    """

    exited: float | None
    in_time: bool
    wrong: Sequence[str]

    @classmethod
    def of(cls, report: Report | str) -> Self:
        """What is kept of a report, or of why there is none."""
        if isinstance(report, str):
            return cls(exited=None, in_time=False, wrong=(_shortened(report),))
        return cls(exited=report.exited, in_time=not list(exits_in_time(report)), wrong=tuple(broken(report)))


@dataclass(frozen=True, kw_only=True)
class Column:
    """What was measured on one server, by row.

    Attributes:
        not_run: why a row has no launches.
    """

    name: str
    family: str
    samples: Mapping[str, Sequence[Sample]]
    not_run: Mapping[str, str]

    @property
    def all(self) -> list[Sample]:
        """All launches."""
        return [sample for samples in self.samples.values() for sample in samples]


def run(plan: Plan) -> list[Column]:
    """Launch all of it.

    Ctrl-C stops it, and what there is by then is reported.
    """
    samples: dict[str, dict[str, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    with contextlib.suppress(KeyboardInterrupt):
        for served, row, sample in _samples(plan):
            samples[served.name][row].append(sample)
    return [_column(plan, served, samples[served.name]) for served in plan.servers]


def _samples(plan: Plan) -> Iterator[tuple[Served, str, Sample]]:
    batches = _batches(plan)
    for number, batch in enumerate(batches, 1):
        for (served, row), sample in zip(batch, _launch(plan, batch), strict=True):
            yield served, row, sample
        _say(number, len(batches))


def _batches(plan: Plan) -> list[list[Part]]:
    parts = [(each, row) for each in plan.servers for row in plan.rows if not _reason_against(each, row)]
    crowds = [[part] for part in parts if part[1] == CROWD]
    parts = [part for part in parts if part[1] != CROWD]
    share = Counter(served.family for served, _ in parts)
    times = {family: math.ceil(plan.launches / parts) for family, parts in share.items()}
    launches = [
        (number / times[part[0].family], part) for part in parts for number in range(times[part[0].family])
    ]
    # Those of each server are spread over the whole time, and mixed: some take more to end than others.
    random.Random(0).shuffle(launches)
    launches.sort(key=lambda launch: launch[0])
    order = [part for _, part in launches]
    return [order[at : at + TOGETHER] for at in range(0, len(order), TOGETHER)] + crowds


def _launch(plan: Plan, batch: Sequence[Part]) -> list[Sample]:
    with tempfile.TemporaryDirectory() as folder:
        cases = [Case(served=served, names=_names(plan, row)) for served, row in batch]
        return [Sample.of(report) for report in launch(cases, Path(folder))]


def _names(plan: Plan, row: str) -> tuple[str, ...]:
    return {NOTHING: (), CROWD: ("blocked",) * plan.crowd}.get(row, (row,))


def _column(plan: Plan, served: Served, samples: Mapping[str, Sequence[Sample]]) -> Column:
    reasons = {row: why for row in plan.rows if (why := _reason_against(served, row))}
    return Column(name=served.name, family=served.family, samples=dict(samples), not_run=reasons)


def _reason_against(served: Served, row: str) -> str | None:
    """Why a row cannot be had from a server."""
    if missing := served.missing():
        return f"{', '.join(missing)} is not installed"
    if row == CROWD and not served.lifespan:
        return "it takes all that it is given"
    if row == CROWD and served.config.package == "granian" and served.workers > 1:
        return "it takes 512 requests a worker"
    return SITUATIONS[row].reason_against(served) if row in SITUATIONS else None


def _shortened(failure: str) -> str:
    """What has failed, and the last of what the server wrote."""
    first, *rest = failure.strip().splitlines()
    return f"{first} … {rest[-1]}" if rest else first


def _say(number: int, batches: int) -> None:
    if number % SAYS_EVERY == 0 or number == batches:
        print(f"shutdown: {number} of {batches} batches of launches", file=sys.stderr)
