"""Launches for the tests: those that the chosen tests need, as many at a time as the machine bears."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator

import pytest

from tests.shutdown.batch import launch
from tests.shutdown.launch import Case, Report

TOGETHER = 16
"""Launches in a batch."""


class Reports:
    """What became of the launches: each batch of them is launched when the first of its reports is wanted."""

    def __init__(self, cases: list[Case], folders: pytest.TempPathFactory) -> None:
        self._batches = [cases[at : at + TOGETHER] for at in range(0, len(cases), TOGETHER)]
        self._folders = folders
        self._reports: dict[Case, Report | str] = {}

    def of(self, case: Case) -> Report:
        """What became of one."""
        if case not in self._reports:
            (batch,) = [batch for batch in self._batches if case in batch]
            reports = launch(batch, self._folders.mktemp("shutdown"))
            self._reports.update(zip(batch, reports, strict=True))
        report = self._reports[case]
        if isinstance(report, str):
            pytest.fail(report)
        return report


@pytest.fixture(scope="session")
def reports(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """The launches of all the tests that were chosen, those alike together."""
    chosen = {
        item.callspec.params.get("report")
        for item in request.session.items
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
    }
    cases = [case for case in chosen if isinstance(case, Case) and not _missing(case)]
    cases.sort(key=lambda case: (case.drain, case.again or 0, *case.names))
    return Reports(cases, tmp_path_factory)


@pytest.fixture
def report(request: pytest.FixtureRequest, reports: Reports) -> Report:
    """What became of one launch."""
    case: Case = request.param
    if missing := _missing(case):
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"not installed: {missing}")
    return reports.of(case)


def _missing(case: Case) -> list[str]:
    curl = [] if shutil.which("curl") else ["curl"]
    return [*case.served.missing(), *curl]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the server wrote, and the journal, where a test failed."""
    outcome = yield
    seen = item.funcargs.get("report") if isinstance(item, pytest.Function) else None
    if outcome.failed and isinstance(seen, Report):
        outcome.sections.append((f"Output of {seen.case.served.name}", seen.log[-5000:]))
        outcome.sections.append(("Journal, seconds from the signal", timeline(seen)))
    return outcome


def timeline(report: Report) -> str:
    """What the journal says from shortly before the signal on."""
    return "\n".join(
        f"{(entry.at - report.signalled) / 1e9:7.3f} {entry.process} {entry.key} {entry.what} {entry.value}"
        for entry in report.entries
        if entry.what != "chunk"
    )
