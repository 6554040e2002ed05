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
    rows.append(("in time, of all launches", "", *(_share(column.all) for column in columns)))
    return aligned([header, *rows])


def write_page(plan: Plan, columns: Sequence[Column], page: Path = PAGE) -> None:
    """Put the table between the marks of the page."""
    put(page, f"{preface()} In time: {in_time(columns)}.\n\n{table(plan, columns)}")


def in_time(columns: Sequence[Column]) -> str:
    """How many launches of each server, over all its configurations, were."""
    families: dict[str, list[Sample]] = {}
    for column in columns:
        families.setdefault(column.family, []).extend(column.all)
    return ", ".join(f"{family} {_share(samples)}" for family, samples in families.items())


def preface() -> str:
    """When and on what."""
    return (
        f"{about()} The policy's `drain` is {DRAIN:g} s, its `cleanup` "
        f"{CLEANUP:g} s. Median and greatest time from the signal to the end of the process."
    )


def as_data(columns: Sequence[Column]) -> dict[str, object]:
    """Everything, for JSON."""
    return {"about": preface(), "columns": [asdict(column) for column in columns]}


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
    figures = quantiles(exits) if exits else "never" if samples else "–"
    wrong = sum(bool(sample.wrong) for sample in samples)
    return f"{figures}, {wrong} of {len(samples)} wrong" if wrong else figures


def _share(samples: Sequence[Sample]) -> str:
    return f"{sum(sample.in_time for sample in samples)} of {len(samples)}"
