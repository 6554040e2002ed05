"""What the launches came to: the table, and what was not as it must be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from matrix.report import about, aligned, put, quantiles
from matrix.shutdown import CROWD, NOTHING, Column, Plan, Sample
from tests.servers.servers import ROOT
from tests.shutdown.durations import CLEANUP, DRAIN
from tests.shutdown.situations import SITUATIONS

PAGE = ROOT / "docs/reference/shutdown.md"
_TOLD = {
    "farewell": "`drained`, a clean end",
    "refusal": "503, Retry-After",
    "either": "one or the other",
    "cut": "a cut body",
    None: "–",
}


def table(plan: Plan, columns: Sequence[Column]) -> str:
    """The results as an aligned Markdown table."""
    header = ("when SIGTERM comes", "clients are told", *(column.name for column in columns))
    rows = [(*_title(plan, row), *(_cell(column, row) for column in columns)) for row in plan.rows]
    return aligned([header, *rows, ("in time, of all launches", "", *(_share(column) for column in columns))])


def write_page(plan: Plan, columns: Sequence[Column], page: Path = PAGE) -> None:
    """Put the table between the marks of the page."""
    put(page, f"{preface(plan)}\n\n{table(plan, columns)}")


def preface(plan: Plan) -> str:
    """When, on what and how often."""
    return (
        f"{about()} {plan.launches} launches of each. The policy's `drain` is {DRAIN:g} s, its `cleanup` "
        f"{CLEANUP:g} s. Median and greatest time from the signal to the end of the process."
    )


def as_data(plan: Plan, columns: Sequence[Column]) -> dict[str, object]:
    """Everything, for JSON."""
    return {"about": preface(plan), "columns": [asdict(column) for column in columns]}


def short(columns: Sequence[Column]) -> list[str]:
    """The cells in which something was not as it must be, with the first of it."""
    return [
        f"{column.name}, {row}: {len(bad)} of {len(samples)}, {'; '.join(bad[0].wrong[:3])}"
        for column in columns
        for row, samples in column.samples.items()
        if (bad := [sample for sample in samples if sample.wrong])
    ]


def _title(plan: Plan, row: str) -> tuple[str, str]:
    if row == NOTHING:
        return "no stream is open", _TOLD[None]
    if row == CROWD:
        return f"{plan.crowd:,} readers that never read", _TOLD[None]
    return SITUATIONS[row].title, _TOLD[SITUATIONS[row].told]


def _cell(column: Column, row: str) -> str:
    if row in column.not_run:
        return f"n/a: {column.not_run[row]}"
    return cell(column.samples.get(row, ()))


def cell(samples: Sequence[Sample]) -> str:
    """The figures of one cell, and how many of its launches were not as they must be."""
    exits = [sample.exited for sample in samples if sample.exited is not None]
    figures = quantiles(exits) if exits else "never"
    wrong = sum(bool(sample.wrong) for sample in samples)
    return f"{figures}, {wrong} of {len(samples)} wrong" if wrong else figures


def _share(column: Column) -> str:
    return f"{sum(sample.in_time for sample in column.all)} of {len(column.all)}"
