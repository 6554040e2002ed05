"""The page of the documentation that shows a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.harness.markdown import put
from benchmarks.harness.picture import draw
from benchmarks.harness.process import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.harness.report import Report

PAGE = ROOT / "docs" / "reference" / "speed.md"


def write(report: Report, page: Path = PAGE) -> None:
    """Put both tables between their marks, and the picture beside the page."""
    _put(page, "targets", f"{_preface(report)}\n\n{report.targets()}")
    _put(page, "peers", "\n\n".join(part for part in (report.peers(), report.notes()) if part))
    page.with_suffix(".svg").write_text(draw(report), encoding="utf-8")


def _put(page: Path, name: str, content: str) -> None:
    """Put `content` between the page's marks of that name.

    Raises:
        ValueError: The page has no such marks.
    """
    begin, end = f"<!-- {name}: written by python -m benchmarks --docs -->", f"<!-- end of {name} -->"
    put(page, begin, end, f"{content}\n")


def _preface(report: Report) -> str:
    about, rounds = report.about, report.figures.rounds()
    machine = about["machine"]
    versions = ", ".join(
        f"{name} {number}" for name, number in about["packages"].items() if name != "endwell"
    )
    return (
        f"{about['date']}, {machine['processor']} with {machine['cores']} cores, Linux {machine['kernel']}, "
        f"Python {machine['python']}, {versions}. Medians of {rounds} interleaved rounds, with "
        "the least and the greatest."
    )
