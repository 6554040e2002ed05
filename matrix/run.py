"""Every server in turn: started, measured, asked to stop."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from matrix import crowd
from matrix.acts.base import Act
from matrix.journal import Journal
from matrix.measure import Cell, one_by_one, reason_against, side_by_side
from matrix.network import FarEnd
from matrix.scene import Stage, Unmeasured
from matrix.servers import Served
from tests.servers.servers import HOST, Server, start

ANYWHERE = "0.0.0.0"  # in a private network namespace
TOGETHER = 3
"""Servers that run at the same time: what takes seconds is waited for on all of them at once."""
SHOWN = 2000
"""Characters of what a server wrote."""
STOPS_WITHIN = 5.0
"""Seconds after SIGTERM in which a server without clients must have ended."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure, and how often.

    Attributes:
        repetitions: of an act of milliseconds; waiting: of one that takes seconds.
        clients: in the crowd.
        no_far: why there is no far end of the network, or None.
        whole: nothing is left out.
    """

    servers: Sequence[Served]
    acts: Mapping[str, Act]
    repetitions: int
    waiting: int
    clients: int
    no_far: str | None
    whole: bool = True


@dataclass(kw_only=True)
class Column:
    """What was measured on one server.

    Attributes:
        cells: by the act's name.
        crowd: seconds from FIN to the source's end, among many idle streams.
        stopped: seconds from SIGTERM to the end of the process.
        not_run: why nothing was measured.
    """

    name: str
    cells: dict[str, Cell] = field(default_factory=dict)
    crowd: list[float] = field(default_factory=list)
    stopped: float | None = None
    not_run: str | None = None


def run(plan: Plan) -> list[Column]:
    """Measure all of it."""
    with ExitStack() as stack:
        far = None if plan.no_far else stack.enter_context(FarEnd())
        groups = [plan.servers[at : at + TOGETHER] for at in range(0, len(plan.servers), TOGETHER)]
        return [column for group in groups for column in _group(plan, group, far)]


def _group(plan: Plan, group: Sequence[Served], far: FarEnd | None) -> list[Column]:
    began = time.monotonic()
    columns = [_column(served) for served in group]
    with ExitStack() as stack:
        running = [
            (stack.enter_context(_running(served, far, plan.no_far)), column)
            for served, column in zip(group, columns, strict=True)
            if column.not_run is None
        ]
        for stage, column in running:
            _measure(plan, stage, column)
        _wait(plan, running)
        for stage, column in running:
            column.stopped = _stop(stage.server)
    print(f"{', '.join(each.name for each in group)}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    return columns


def _column(served: Served) -> Column:
    missing = ", ".join(served.missing())
    return Column(name=served.name, not_run=f"{missing} is not installed" if missing else None)


@contextmanager
def _running(served: Served, far: FarEnd | None, no_far: str | None) -> Iterator[Stage]:
    with tempfile.TemporaryDirectory() as folder:
        journal, log = Path(folder, "journal"), Path(folder, "log")
        journal.touch()
        config = served.listening_on(HOST if far is None else ANYWHERE)
        server = start(config, "matrix.app:app", log, {"MATRIX_JOURNAL": str(journal)})
        try:
            yield Stage(served, server, Journal(journal), far, no_far)
        finally:
            server.stop()
            if said := server.output():
                print(f"{served.name} wrote:\n{said[-SHOWN:]}", file=sys.stderr)


def _measure(plan: Plan, stage: Stage, column: Column) -> None:
    """What takes milliseconds, one after the other; and why the rest of the acts cannot be played."""
    for name, act in plan.acts.items():
        if reason := reason_against(stage, act):
            column.cells[name] = Cell(not_run=reason)
        elif not act.waits:
            column.cells[name] = one_by_one(stage, act, plan.repetitions)
    column.crowd = _crowd(plan, stage)


def _wait(plan: Plan, running: Sequence[tuple[Stage, Column]]) -> None:
    """What takes seconds, on all these servers at once."""
    parts = [
        (stage, column, name)
        for stage, column in running
        for name, act in plan.acts.items()
        if act.waits and name not in column.cells
    ]
    cells = side_by_side([(stage, plan.acts[name]) for stage, _, name in parts], plan.waiting)
    for (_, column, name), cell in zip(parts, cells, strict=True):
        column.cells[name] = cell


def _crowd(plan: Plan, stage: Stage) -> list[float]:
    try:
        return crowd.measure(stage, plan.clients)
    except Unmeasured as error:
        print(f"{stage.served.name}: {error}", file=sys.stderr)
        return []


def _stop(server: Server) -> float | None:
    began = time.monotonic()
    server.terminate()
    while server.alive():
        if time.monotonic() - began > STOPS_WITHIN:
            return None
        time.sleep(0.005)
    return time.monotonic() - began
