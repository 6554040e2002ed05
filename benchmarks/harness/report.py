"""The table, for people, and the JSON, for programs."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from benchmarks.harness import machine
from benchmarks.harness.stats import Row, Spread, rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmarks.harness.rounds import Plan, Sample
    from benchmarks.workloads.base import Metric, Workload

SUBJECT = "endwell"  # the peer the targets are for
HEADER = ("work", "measured", "peer", "median", "least - most", "÷ raw", "least - most", "target")
PACKAGES = ("endwell", "starlette", "sse-starlette", "uvicorn", "hypercorn", "granian", "httptools", "uvloop")


def table(plan: Plan, samples: Sequence[Sample]) -> str:
    """The results as an aligned Markdown table."""
    known = {workload.number: workload for workload in plan.workloads}
    lines = [HEADER, *(_cells(row, known[row.workload]) for row in rows(samples))]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    rule = ["-" * width for width in widths]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in (padded[0], rule, *padded[1:]))


def write(plan: Plan, samples: Sequence[Sample], folder: Path) -> tuple[Path, Path]:
    """Write the results into `folder` as JSON and as Markdown; return both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    stem = folder / f"{now:%Y-%m-%d-%H%M%S}-{plan.server}"
    about = _about(plan, now)
    as_json, as_markdown = stem.with_suffix(".json"), stem.with_suffix(".md")
    as_json.write_text(
        json.dumps({"about": about, "samples": [asdict(each) for each in samples]}, indent=1) + "\n"
    )
    as_markdown.write_text(_preface(about) + table(plan, samples) + "\n")
    return as_json, as_markdown


def _cells(row: Row, workload: Workload) -> tuple[str, ...]:
    metric = workload.metric(row.metric)
    where = f" ({row.mount})" if len(workload.mounts) > 1 else ""
    return (
        f"{row.workload}. {workload.title}{where}",
        metric.label,
        row.peer,
        _number(row.value.median),
        _range(row.value),
        _number(row.ratio.median) if row.ratio else "",
        _range(row.ratio) if row.ratio else "",
        _target(metric, row),
    )


def _target(metric: Metric, row: Row) -> str:
    return metric.targets.get(row.mount, "") if row.peer == SUBJECT else ""


def _range(spread: Spread) -> str:
    return f"{_number(spread.least)} - {_number(spread.greatest)}"


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _about(plan: Plan, now: dt.datetime) -> dict[str, object]:
    return {
        "date": now.isoformat(),
        "machine": machine.description(),
        "packages": dict(_versions()),
        "server": plan.server,
        "rounds": plan.rounds,
        "share of the full load": plan.scale,
        "workloads": {each.number: each.title for each in plan.workloads},
    }


def _versions() -> Mapping[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a source tree, or a server that is not installed
            continue
    return found


def _preface(about: Mapping[str, object]) -> str:
    return "".join(f"- {name}: {value}\n" for name, value in about.items() if name != "workloads") + "\n"
