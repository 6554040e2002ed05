"""Every peer's cost as so many times raw's, on a logarithmic scale; a line from least to most."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmarks.harness.rounds import MAIN_SERVER
from benchmarks.harness.svg import document, text
from benchmarks.workloads.base import BASELINE, SUBJECT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.harness.report import Report
    from benchmarks.harness.stats import Subject

WIDTH, LEFT, RIGHT, TOP, PITCH, BOTTOM = 760, 270, 24, 56, 22, 26
LEAST, MOST = 0.01, 32
TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
COLOURS = ("#3b82c4", "#b8860b", "#8a63b8", "#c2572c", "#5a8f3c", "#888888")
STYLE = """\
path{fill:none;stroke:currentColor;stroke-width:1}
path.grid{opacity:.2}
path.target{stroke-width:2}
:is(circle,path.spread){stroke-width:2}
"""


def draw(report: Report) -> str:
    """A row for each metric on the main server, which is where the targets are."""
    rows = _rows(report)
    peers = [peer for peer in report.figures.peers() if peer != BASELINE]
    colours = _colours(peers)
    bottom = TOP + PITCH * len(rows)
    label = "What each peer costs, as so many times what raw ASGI costs"
    parts = [*_legend(peers, colours), *_grid(bottom)]
    for number, row in enumerate(rows):
        y = TOP + PITCH * (number + 0.5)
        parts += (
            [text(10, y + 4, row, kind="title")] if isinstance(row, str) else _row(report, row, y, colours)
        )
    return document("speed", (WIDTH, bottom + BOTTOM), label, STYLE, parts)


def _rows(report: Report) -> list[str | Subject]:
    """The metrics whose ratios say something, each work's below its title."""
    rows: list[str | Subject] = []
    for subject in report.figures:
        if subject.server == MAIN_SERVER and report.metric(subject).has_ratios:
            title, _ = report.name(subject)
            rows += [subject] if title in rows else [title, subject]
    return rows


def _colours(peers: Sequence[str]) -> dict[str, str]:
    """Ours is the page's own colour."""
    others = [peer for peer in peers if not peer.startswith(SUBJECT)]
    colours = {peer: COLOURS[number % len(COLOURS)] for number, peer in enumerate(others)}
    return {peer: colours.get(peer, "currentColor") for peer in peers}


def _x(ratio: float) -> float:
    share = math.log(min(max(ratio, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _legend(peers: Sequence[str], colours: dict[str, str]) -> Iterator[str]:
    x = 10.0
    for peer in peers:
        yield _dot(x, 14, colours[peer], hollow=_is_variant(peer))
        yield text(x + 9, 18, peer)
        x += 26 + 7.2 * len(peer)


def _grid(bottom: float) -> Iterator[str]:
    yield text(LEFT - 18, TOP - 8, f"times what {BASELINE} costs:", "end", "tick")
    for tick in TICKS:
        yield f'<path class="grid" d="M{_x(tick):.1f} {TOP} V{bottom}"/>'
        yield text(_x(tick), TOP - 8, f"{tick:g}", "middle", "tick")
        yield text(_x(tick), bottom + 16, f"{tick:g}", "middle", "tick")
    yield f'<path d="M{_x(1):.1f} {TOP} V{bottom}"/>'


def _row(report: Report, subject: Subject, y: float, colours: dict[str, str]) -> Iterator[str]:
    yield text(LEFT - 8, y + 4, report.name(subject)[1].replace("`", ""), "end")
    for target in report.metric(subject).targets:
        if target.over == BASELINE and target.mount == subject.mount:
            x, kind = _x(target.limit), "" if _is_variant(target.peer) else ' class="target"'
            yield f'<path{kind} d="M{x:.1f} {y - 9:.1f} v18 m-4 -9 h-6 m0 0 l3 -3 m-3 3 l3 3"/>'
    for peer, colour in reversed(colours.items()):  # ours stands above the others
        ratio = report.figures.ratio(subject, peer, BASELINE)
        if ratio is not None:
            least, most = _x(ratio.least), _x(ratio.greatest)
            yield f'<path class="spread" style="stroke:{colour}" d="M{least:.1f} {y:.1f} H{most:.1f}"/>'
            yield _dot(_x(ratio.median), y, colour, hollow=_is_variant(peer))


def _is_variant(peer: str) -> bool:
    return peer.startswith(f"{SUBJECT}-")


def _dot(x: float, y: float, colour: str, *, hollow: bool) -> str:
    fill = "none" if hollow else colour
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" style="fill:{fill};stroke:{colour}"/>'
