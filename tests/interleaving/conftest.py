"""Says in the end how many schedules ran."""

from __future__ import annotations

from collections import Counter

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Add up what the tests recorded; with xdist they ran elsewhere."""
    numbers: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    for report in [*terminalreporter.stats.get("passed", ()), *terminalreporter.stats.get("failed", ())]:
        recorded = dict(getattr(report, "user_properties", ()))
        if "schedules" in recorded and report.when == "call":
            numbers.update(recorded["schedules"])
            outcomes.update(recorded["outcomes"])
    if numbers:
        terminalreporter.section("interleavings")
        terminalreporter.write_line(
            f"{numbers['ran']:,} schedules played, {numbers['distinct']:,} of them distinct, "
            f"{numbers['handles']:,} handles run; {numbers['failed']:,} broke a law"
        )
        endings = ", ".join(f"{number:,} {outcome}" for outcome, number in outcomes.most_common())
        terminalreporter.write_line(f"endings: {endings}")
