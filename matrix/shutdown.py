"""SIGTERM in every situation on every server: how long until the process is gone, and what went wrong.

The launches, the situations and what must be true are those of `tests/shutdown`; here each is repeated.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.shutdown.batch import launch
from tests.shutdown.launch import Case, Report
from tests.shutdown.laws import broken, exits_in_time
from tests.shutdown.served import Served
from tests.shutdown.situations import SITUATIONS

NOTHING = "nothing"
"""The row of a server without any stream: what it takes by itself."""
CROWD = "crowd"
"""The row of very many readers that never read."""
TOGETHER = 16
"""Launches in a batch."""
SAYS_EVERY = 5
CLIENTS = 1000


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to launch, and how often.

    Attributes:
        launches: of each situation on each server.
        crowd: readers that never read, once on each server; 0 for none.
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
    samples: Mapping[str, Sequence[Sample]]
    not_run: Mapping[str, str]

    @property
    def all(self) -> list[Sample]:
        """All launches."""
        return [sample for samples in self.samples.values() for sample in samples]


def run(plan: Plan) -> list[Column]:
    """Launch all of it, in rounds: what happens to the machine meanwhile happens to every server."""
    samples: dict[str, dict[str, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    rows = [
        (served, row) for served in plan.servers for row in plan.rows if _reason_against(served, row) is None
    ]
    crowds = [[(served, row)] for served, row in rows if row == CROWD]
    others = [(served, row) for _ in range(plan.launches) for served, row in rows if row != CROWD]
    batches = [others[at : at + TOGETHER] for at in range(0, len(others), TOGETHER)] + crowds
    for number, batch in enumerate(batches, 1):
        for (served, row), sample in zip(batch, _launch(plan, batch), strict=True):
            samples[served.name][row].append(sample)
        _say(number, len(batches))
    return [_column(plan, served, samples[served.name]) for served in plan.servers]


def _launch(plan: Plan, batch: Sequence[tuple[Served, str]]) -> list[Sample]:
    with tempfile.TemporaryDirectory() as folder:
        cases = [Case(served=served, names=_names(plan, row)) for served, row in batch]
        return [Sample.of(report) for report in launch(cases, Path(folder))]


def _names(plan: Plan, row: str) -> tuple[str, ...]:
    return {NOTHING: (), CROWD: ("blocked",) * plan.crowd}.get(row, (row,))


def _column(plan: Plan, served: Served, samples: Mapping[str, Sequence[Sample]]) -> Column:
    reasons = {row: _reason_against(served, row) for row in plan.rows}
    return Column(
        name=served.name, samples=dict(samples), not_run={row: why for row, why in reasons.items() if why}
    )


def _reason_against(served: Served, row: str) -> str | None:
    """Why a row cannot be had from a server."""
    if missing := served.missing():
        return f"{', '.join(missing)} is not installed"
    if row == CROWD and not served.lifespan:
        return "it takes all that it is given"
    return SITUATIONS[row].reason_against(served) if row in SITUATIONS else None


def _shortened(failure: str) -> str:
    """What has failed, and the last of what the server wrote."""
    first, *rest = failure.strip().splitlines()
    return f"{first} … {rest[-1]}" if rest else first


def _say(number: int, batches: int) -> None:
    if number % SAYS_EVERY == 0 or number == batches:
        print(f"shutdown: {number} of {batches} batches of launches", file=sys.stderr)
