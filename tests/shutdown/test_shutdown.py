"""SIGTERM on every server: what must be true when it is gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shutdown.batch import launch
from tests.shutdown.durations import DRAIN
from tests.shutdown.launch import Case, Report
from tests.shutdown.laws import LAWS, Law, broken, exits_in_time, readers_are_told, shutdown_comes_last
from tests.shutdown.served import SERVED, Served
from tests.shutdown.situations import POLITE, SITUATIONS, fitting

pytestmark = pytest.mark.timeout(180)
"""Seconds: the first test of a batch launches all of it."""

AGAIN = 1.7
"""Seconds until somebody insists. A supervisor passes the first signal on up to half a second late, and what
comes within a second of it is taken for the same."""
PATIENCE = 1.0
"""Seconds that a busy machine may take longer, every day; `make prove` and `make matrix` allow none."""
LAUNCHES = 23
"""Of each situation on each server, for `make prove`: more than 200 on each server."""
CROWD = 1000
_TWICE = {"uvicorn-h11-uvloop", "uvicorn-httptools-asyncio", "uvicorn-httptools-uvloop-timeout"}
ONE_OF_EACH = [each for each in SERVED if each.http == each.workers == 1 and each.name not in _TWICE]
INSISTED_ON = [each for each in ONE_OF_EACH if each.config.package != "hypercorn"]
"""hypercorn's worker is told by its supervisor without a signal: to it a second one is the first."""


Chosen = Iterator[tuple[str, Case]]


def _ids(cases: Chosen) -> list[object]:
    return [pytest.param(case, id=f"{case.served.name}-{what}") for what, case in cases]


def _case(served: Served, *names: str, drain: float = DRAIN, again: float | None = None) -> Case:
    fit = fitting(served, names)
    return Case(served=served, names=fit, drain=drain, again=again, patience=PATIENCE)


def _groups() -> Chosen:
    for served in SERVED:
        yield "polite", _case(served, *POLITE)
        yield "everything", _case(served, *SITUATIONS)


def _again() -> Chosen:
    for served in INSISTED_ON:
        yield "again", _case(served, "idle", "ignoring", "worst", drain=6.0, again=AGAIN)


def _at_once() -> Chosen:
    for served in ONE_OF_EACH:
        yield "at once", _case(served, "idle", "hanging", "thread", drain=0.0)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("report", _ids(_groups()), indirect=True)
def test_at_sigterm(report: Report, law: Law) -> None:
    assert list(law(report)) == []


@pytest.mark.parametrize("report", _ids(_again()), indirect=True)
def test_a_second_signal_means_now(report: Report) -> None:
    """BAD-INPUTS 46. The rest of the drain, and all but a moment of the cleanup, is given up."""
    laws = (exits_in_time, readers_are_told, shutdown_comes_last)
    assert [wrong for law in laws for wrong in law(report)] == []


@pytest.mark.parametrize("report", _ids(_at_once()), indirect=True)
def test_without_a_drain_everything_ends_at_once(report: Report) -> None:
    """BAD-INPUTS 47."""
    laws = (exits_in_time, readers_are_told, shutdown_comes_last)
    assert [wrong for law in laws for wrong in law(report)] == []


@pytest.mark.prove
def test_readers_that_never_read_do_not_delay_it(tmp_path: Path) -> None:
    served = next(each for each in SERVED if each.name == "uvicorn-httptools-uvloop")
    (report,) = launch([Case(served=served, names=("blocked",) * CROWD)], tmp_path)
    assert isinstance(report, Report), report
    assert broken(report) == []


@pytest.mark.prove
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("served", SERVED, ids=lambda served: served.name)
def test_always(served: Served, tmp_path: Path) -> None:
    cases = [Case(served=served, names=(name,)) for name in fitting(served, tuple(SITUATIONS))] * LAUNCHES
    assert len(cases) >= 200
    wrong: list[str] = []
    for at in range(0, len(cases), 16):
        for report in launch(cases[at : at + 16], tmp_path / str(at)):
            wrong += [report] if isinstance(report, str) else broken(report)
    assert wrong == []
