"""The tables, and the page of the documentation that shows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import workloads
from benchmarks.harness.markdown import put
from benchmarks.harness.process import ROOT
from benchmarks.profiles.floors import FLOORS
from benchmarks.profiles.loads import UNITS
from benchmarks.profiles.sampling import Profile

PAGE = ROOT / "docs" / "explanation" / "where-time-goes.md"
BEGIN = "<!-- begin: scripts/profile --docs -->"
END = "<!-- end of profiles -->"

_STARLETTE = ", in Starlette"


def tables(now: Sequence[Profile], before: Sequence[Profile] = ()) -> str:
    """A table for each workload, floors down and peers across."""
    known = workloads.load()
    parts = []
    for number in dict.fromkeys(each.workload for each in now):
        columns = {
            **{_name(each, " before"): each for each in before if each.workload == number},
            **{_name(each, ""): each for each in now if each.workload == number},
        }
        order = sorted(columns, key=lambda name: (not name.startswith("raw"), _STARLETTE in name))
        parts.append(f"## Work {number}: {known[number].title}\n\nMicroseconds for each {UNITS[number]}.\n")
        parts.extend(_table({name: columns[name] for name in order}))
        parts.append("")
        parts.extend(f"{_dearest(name, columns[name])}\n" for name in order if columns[name].functions)
    return "\n".join(parts)


def write(text: str, preface: str, page: Path = PAGE) -> None:
    """Put the tables between the page's marks.

    Raises:
        ValueError: It has none.
    """
    put(page, BEGIN, END, f"{preface}\n\n{text}")


def _name(profile: Profile, when: str) -> str:
    where = "" if profile.mount == "bare" else _STARLETTE
    return f"{profile.peer}{when if profile.peer == 'endwell' else ''}{where}"


def _table(columns: dict[str, Profile]) -> Iterator[str]:
    yield f"| | {' | '.join(columns)} |"
    yield f"| --- |{' ---: |' * len(columns)}"
    for floor in FLOORS:
        cells = [_cell(profile.floors.get(floor, 0.0), profile.micros) for profile in columns.values()]
        if any(cells):
            yield f"| {floor} | {' | '.join(cells)} |"
    yield f"| **all** | {' | '.join(f'**{_micros(each.micros)}**' for each in columns.values())} |"


def _cell(micros: float, all_of_it: float) -> str:
    share = micros / all_of_it
    return f"{_micros(micros)} ({share:.0%})".replace("%", " %") if share >= 0.01 else ""


def _micros(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _dearest(name: str, profile: Profile) -> str:
    functions = ", ".join(f"`{each}` {_micros(micros)}" for each, micros in profile.functions.items())
    return f"The dearest functions of {name}: {functions}."
