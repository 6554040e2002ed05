"""The table, for people; every sample, for programs."""

from __future__ import annotations

import datetime as dt
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from matrix.acts.base import Act
from matrix.measure import Cell, Sample
from matrix.run import STOPS_WITHIN, Column, Plan
from tests.servers.servers import ROOT

PAGE = ROOT / "docs/reference/matrix.md"
BEGIN, END = "<!-- begin: python -m matrix --docs -->", "<!-- end -->"
PACKAGES = (
    *("uvicorn", "h11", "httptools", "uvloop", "hypercorn", "h2", "granian", "daphne", "gunicorn"),
    *("uvicorn-worker", "starlette", "fastapi"),
)

Row = tuple[str, ...]


def table(plan: Plan, columns: Sequence[Column]) -> str:
    """The results as an aligned Markdown table."""
    header = ("act", "until", *(column.name for column in columns))
    rows = [row for name, act in plan.acts.items() for row in _rows(name, act, columns)]
    rows += [_crowd_row(plan, columns), _stop_row(columns)]
    return aligned([header, *rows])


def write_page(plan: Plan, columns: Sequence[Column], page: Path = PAGE) -> None:
    """Put the table between the marks of the page.

    Raises:
        ValueError: the page has no marks.
    """
    put(page, f"{preface(plan)}\n\n{table(plan, columns)}")


def put(page: Path, text: str) -> None:
    """Put `text` between the marks of the page.

    Raises:
        ValueError: the page has no marks.
    """
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page} needs the lines {BEGIN} and {END}")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def preface(plan: Plan) -> str:
    """When, on what and how often."""
    return (
        f"{about()} "
        f"{plan.repetitions} repetitions of what takes milliseconds, {plan.waiting} of what takes seconds."
    )


def about() -> str:
    """When, and on what."""
    now = dt.datetime.now(dt.UTC)
    kernel, _, _ = platform.release().partition("-")
    versions = ", ".join(f"{name} {number}" for name, number in _versions().items())
    return f"{now:%Y-%m-%d}, Linux {kernel}, Python {platform.python_version()}, {versions}."


def as_data(plan: Plan, columns: Sequence[Column]) -> dict[str, object]:
    """Everything, for JSON."""
    return {"about": preface(plan), "columns": [asdict(column) for column in columns]}


def short(plan: Plan, columns: Sequence[Column]) -> list[str]:
    """The cells in which something did not happen as it must, with the first sample of each."""
    return [
        f"{column.name}, {act.title}: {wrong}"
        for column in columns
        for name, act in plan.acts.items()
        if name in column.cells and (wrong := column.cells[name].wrong(act))
    ]


def _rows(name: str, act: Act, columns: Sequence[Column]) -> list[Row]:
    cells = [_cell_of(column, name) for column in columns]
    if act.kept:
        return [(act.title, "", *(survival(cell) for cell in cells))]
    freed = [survival(cell) if act.keeps_socket else figures(act, cell, _freed) for cell in cells]
    finished = [figures(act, cell, _finished) + _surprise(act, cell) for cell in cells]
    return [(act.title, "`finally`", *finished), ("", "socket", *freed)]


def _finished(sample: Sample) -> float | None:
    return sample.finished


def _freed(sample: Sample) -> float | None:
    return sample.freed


def _cell_of(column: Column, name: str) -> Cell:
    return Cell(not_run=column.not_run) if column.not_run else column.cells[name]


def figures(act: Act, cell: Cell, figure: Callable[[Sample], float | None]) -> str:
    """One of a cell's two figures, or why there is none."""
    if not cell.samples:
        return _empty(cell)
    seen = [value for sample in cell.samples if (value := figure(sample)) is not None]
    never = len(cell.samples) - len(seen)
    if not never:
        return quantiles(seen)
    return f"never (bound: {act.bound:.0f} s)" + (f", {never} of {len(cell.samples)}" if seen else "")


def survival(cell: Cell) -> str:
    """Whether what had to survive did."""
    if not cell.samples:
        return _empty(cell)
    wrong = [sample.wrong for sample in cell.samples if sample.wrong]
    share = "" if len(wrong) == len(cell.samples) else f" {len(wrong)} of {len(cell.samples)}"
    return f"lost{share}: {wrong[0]}" if wrong else "kept"


def _empty(cell: Cell) -> str:
    return f"n/a: {cell.not_run}" if cell.not_run else f"failed: {cell.failed}"


def _surprise(act: Act, cell: Cell) -> str:
    """The outcomes that were told instead of the act's own."""
    told = {sample.outcome or "nothing" for sample in cell.samples if sample.finished is not None}
    others = sorted(told - {act.outcome})
    return f", as {', '.join(others)}" if others else ""


def _crowd_row(plan: Plan, columns: Sequence[Column]) -> Row:
    cells = (_with_p99(column.crowd) if column.crowd else "–" for column in columns)
    return (f"FIN among {plan.clients} idle, p50 / p99 / max", "`finally`", *cells)


def _stop_row(columns: Sequence[Column]) -> Row:
    return ("SIGTERM after all of it", "process", *(_stopped(column) for column in columns))


def _stopped(column: Column) -> str:
    if column.not_run:
        return "–"
    return f"never (bound: {STOPS_WITHIN:.0f} s)" if column.stopped is None else _duration(column.stopped)


def quantiles(seconds: Sequence[float]) -> str:
    """Median and greatest, "0.9 / 1.4 ms"."""
    return _joined([statistics.median(seconds), max(seconds)])


def _with_p99(seconds: Sequence[float]) -> str:
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return _joined([cuts[49], cuts[98], max(seconds)])


def _joined(seconds: Sequence[float]) -> str:
    if max(seconds) >= 1:
        return " / ".join(f"{value:.1f}" for value in seconds) + " s"
    return " / ".join(_milliseconds(value) for value in seconds) + " ms"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.1f}" if seconds < 0.1 else f"{seconds * 1e3:.0f}"


def _duration(seconds: float) -> str:
    return _joined([seconds])


def aligned(rows: Sequence[Row]) -> str:
    """A Markdown table whose columns are as wide as their widest cell; the first row is its header."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    header, *body = (
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    )
    rule = "| " + " | ".join("-" * width for width in widths) + " |"
    return "\n".join([header, rule, *body])


def _versions() -> Mapping[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
