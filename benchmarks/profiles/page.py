"""The tables, and the page of the documentation that shows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks import workloads
from benchmarks.harness.markdown import put
from benchmarks.harness.process import ROOT
from benchmarks.profiles.floors import FLOORS
from benchmarks.profiles.loads import UNITS
from benchmarks.profiles.sampling import Profile
from benchmarks.workloads.base import BASELINE, SUBJECT

PAGE = ROOT / "docs" / "explanation" / "where-time-goes.md"
BEGIN = "<!-- begin: scripts/profile --docs -->"
END = "<!-- end of profiles -->"

_FRAMES = {"bare": "", "routed": " in Starlette", "fastapi": " in FastAPI"}
_PEERS = {"endwell-decorated": "endwell's decorator"}
_FRAMED = """\
### Work {number} within a framework

The same in the routing of Starlette and of FastAPI. What is more than bare is the framework's own work, and
what it makes dearer for the others.
"""


def tables(now: Sequence[Profile], before: Sequence[Profile] = ()) -> str:
    """A table for each workload, floors down and peers across; another one for what was in a framework."""
    known = workloads.load()
    parts = []
    for number in dict.fromkeys(each.workload for each in now):
        of_it = [each for each in now if each.workload == number]
        bare = {each.peer: each for each in of_it if each.mount == "bare"}
        then = next((each for each in before if (each.workload, each.mount) == (number, "bare")), None)
        columns = {
            **{peer: each for peer, each in bare.items() if peer != SUBJECT},
            **({f"{SUBJECT} before": then} if then is not None else {}),
            **{peer: each for peer, each in bare.items() if peer == SUBJECT},
        }
        parts.append(f"## Work {number}: {known[number].title}\n\nMicroseconds for each {UNITS[number]}.\n")
        parts += [*_table(columns), ""]
        parts += [f"{_dearest(name, each)}\n" for name, each in bare.items() if each.functions]
        if framed := [each for each in of_it if each.mount != "bare"]:
            parts += [_FRAMED.format(number=number), *_framed_table(framed, bare), ""]
    return "\n".join(parts)


def write(text: str, preface: str, page: Path = PAGE) -> None:
    """Put the tables between the page's marks.

    Raises:
        ValueError: It has none.
    """
    put(page, BEGIN, END, f"{preface}\n\n{text}")


def _table(columns: Mapping[str, Profile]) -> Iterator[str]:
    yield f"| | {' | '.join(columns)} |"
    yield f"| --- |{' ---: |' * len(columns)}"
    for floor in FLOORS:
        cells = [_cell(profile.floors.get(floor, 0.0), profile.micros) for profile in columns.values()]
        if any(cells):
            yield f"| {floor} | {' | '.join(cells)} |"
    yield f"| **all** | {' | '.join(f'**{_micros(each.micros)}**' for each in columns.values())} |"


def _framed_table(framed: Sequence[Profile], bare: Mapping[str, Profile]) -> Iterator[str]:
    yield from _table({_PEERS.get(each.peer, each.peer) + _FRAMES[each.mount]: each for each in framed})
    bases = [bare.get(BASELINE if each.peer == BASELINE else SUBJECT) for each in framed]
    more = [
        _micros(each.micros - base.micros) if base is not None else ""
        for each, base in zip(framed, bases, strict=True)
    ]
    yield f"| more than bare | {' | '.join(more)} |"


def _cell(micros: float, all_of_it: float) -> str:
    share = micros / all_of_it
    return f"{_micros(micros)} ({share:.0%})".replace("%", " %") if share >= 0.01 else ""


def _micros(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _dearest(name: str, profile: Profile) -> str:
    functions = ", ".join(f"`{each}` {_micros(micros)}" for each, micros in profile.functions.items())
    return f"The dearest functions of {name}: {functions}."
