"""The tables, for people, and the JSON, for programs."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from benchmarks import workloads
from benchmarks.harness import machine, markdown
from benchmarks.harness.rounds import MAIN_SERVER, Results, Sample
from benchmarks.harness.stats import Figures, Spread, Subject
from benchmarks.workloads.base import BASELINE, SUBJECT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from benchmarks.harness.rounds import Plan
    from benchmarks.workloads.base import Metric, Target

RIVAL = "sse-starlette"
BUSY = 0.9  # share of its core above which the client may be what is measured
TAKEN = 0.05  # share of the server's core above which it is told that others took it
NOTHING = "–"
PACKAGES = (
    *("endwell", "starlette", "sse-starlette", "fastapi", "litestar"),
    *("uvicorn", "httptools", "uvloop", "hypercorn", "granian"),
)


class Report:
    """What a run has shown."""

    def __init__(self, results: Results, about: Mapping[str, Any]) -> None:
        self.results = results
        self.about = about
        self.figures = Figures(results.samples)
        self._workloads = workloads.load()

    @classmethod
    def read(cls, paths: Sequence[Path]) -> Report:
        """What was written before, in one file or more; of a work that is in several, the last counts."""
        parts: dict[tuple[str, int], list[Sample]] = {}
        troubles: list[str] = []
        about: dict[str, Any] = {}
        for data in (json.loads(path.read_text(encoding="utf-8")) for path in paths):
            fresh: dict[tuple[str, int], list[Sample]] = {}
            for each in data["samples"]:
                fresh.setdefault((each["server"], each["workload"]), []).append(Sample(**each))
            parts |= fresh
            troubles += data["troubles"]
            about = data["about"]
        return cls(Results(list(itertools.chain(*parts.values())), troubles), about)

    def targets(self) -> str:
        """Our figures beside raw's and the rival's, with the targets: an aligned Markdown table."""
        head = ("work", "measured", "peer", "median", f"÷ {BASELINE}", f"÷ {RIVAL}", "target", "", "client")
        return _aligned([head, *(row for subject in self.figures for row in self._ours(subject))])

    def peers(self) -> str:
        """Everybody's medians, and how many times raw's that is: an aligned Markdown table."""
        peers = self.figures.peers()
        head = ("work", "measured", *peers)
        rows = (
            (*self.name(subject), *(self._cell(subject, peer) for peer in peers)) for subject in self.figures
        )
        return _aligned([head, *rows])

    def notes(self) -> str:
        """What must be known of the figures, if anything."""
        busy = {(each.server, each.workload) for each in self.figures if self.figures.client(each) > BUSY}
        lines = [f"- Not measured: {trouble}" for trouble in self.results.troubles]
        lines += [
            f"- {server}, work {number}: the client was busy for more than {BUSY:.0%} of the time, so "
            "it may be what was measured."
            for server, number in sorted(busy)
        ]
        lines += [
            f"- {server}, work {number}: other programs, or threads of its own, kept the server's main one "
            f"waiting for up to {taken:.0%} of the time."
            for (server, number), taken in sorted(self._taken().items())
            if taken > TAKEN
        ]
        return "\n".join(lines)

    def _taken(self) -> Mapping[tuple[str, int], float]:
        most: dict[tuple[str, int], float] = {}
        for each in self.figures:
            key = (each.server, each.workload)
            most[key] = max(most.get(key, 0.0), self.figures.taken(each))
        return most

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write all of it into `folder` as JSON and as Markdown; return both paths."""
        folder.mkdir(parents=True, exist_ok=True)
        stem = folder / f"{dt.datetime.now(dt.UTC):%Y-%m-%d-%H%M%S}"
        as_json, as_markdown = stem.with_suffix(".json"), stem.with_suffix(".md")
        data = {"about": self.about, **asdict(self.results)}
        as_json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        preface = "".join(f"- {name}: {value}\n" for name, value in self.about.items())
        as_markdown.write_text(f"{preface}\n{self}\n", encoding="utf-8")
        return as_json, as_markdown

    def __str__(self) -> str:
        """Both tables, and the notes."""
        return "\n\n".join(part for part in (self.targets(), self.peers(), self.notes()) if part)

    def name(self, subject: Subject) -> tuple[str, str]:
        """The work, and what is measured."""
        workload = self._workloads[subject.workload]
        title = f"{workload.number}. {workload.title}"
        if len(workload.mounts) > 1:
            title += f", {subject.mount}"
        if subject.server != MAIN_SERVER:
            title += f", {subject.server}"
        return title, self.metric(subject).label

    def metric(self, subject: Subject) -> Metric:
        """The metric that was measured."""
        return self._workloads[subject.workload].metrics[subject.metric]

    def _ours(self, subject: Subject) -> Iterator[Sequence[str]]:
        """A row for each peer of ours."""
        variants = self._workloads[subject.workload].variants
        client = f"{self.figures.client(subject):.0%}"
        for peer in (SUBJECT, *variants):
            value = self.figures.value(subject, peer)
            if value is None:
                continue
            over = (self._over(subject, peer, base) for base in (BASELINE, RIVAL))
            target, verdict = self._judged(subject, peer)
            yield (*self.name(subject), peer, _with_spread(value), *over, target, verdict, client)

    def _over(self, subject: Subject, peer: str, base: str) -> str:
        if not self.metric(subject).has_ratios:
            return ""
        return _with_spread(self.figures.ratio(subject, peer, base))

    def _judged(self, subject: Subject, peer: str) -> tuple[str, str]:
        target = self._target(subject, peer)
        if target is None:
            return "", ""
        value = (
            self.figures.value(subject, peer)
            if target.over is None
            else self.figures.ratio(subject, peer, target.over)
        )
        if value is None:
            return str(target), NOTHING
        return str(target), "reached" if target.is_met_by(value.median) else "**missed**"

    def _target(self, subject: Subject, peer: str) -> Target | None:
        if subject.server != MAIN_SERVER:
            return None
        targets = self.metric(subject).targets
        return next((each for each in targets if (each.mount, each.peer) == (subject.mount, peer)), None)

    def _cell(self, subject: Subject, peer: str) -> str:
        value = self.figures.value(subject, peer)
        if value is None:
            return NOTHING
        ratio = self.figures.ratio(subject, peer, BASELINE)
        if ratio is None or peer == BASELINE or not self.metric(subject).has_ratios:
            return _number(value.median)
        return f"{_number(value.median)} (× {_number(ratio.median)})"


def about(plan: Plan) -> dict[str, Any]:
    """When, on what, with what, and how often."""
    return {
        "date": f"{dt.datetime.now(dt.UTC):%Y-%m-%d}",
        "machine": machine.description(),
        "packages": dict(_versions()),
        "rounds": plan.rounds,
        "share of the full load": plan.scale,
    }


def _with_spread(spread: Spread | None) -> str:
    if spread is None:
        return NOTHING
    return f"{_number(spread.median)} ({_number(spread.least)}–{_number(spread.greatest)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rule = ["-" * width for width in widths]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    return markdown.table(padded[0], rule, padded[1:])


def _versions() -> Mapping[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a source tree, or one that is not installed
            continue
    return found
