"""What one stream costs beside ever more of them: a panel for each figure, a line for each peer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.harness.svg import document, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.growth.steps import Step

COLUMNS, WIDTH, HEIGHT = 2, 300, 120
LEFT, TOP, ACROSS, DOWN = 60, 50, 380, 190
STYLE = """\
path{fill:none;stroke:currentColor;stroke-width:1}
path.grid{opacity:.2}
path.endwell{stroke-width:2}
path.raw{stroke-dasharray:4 3}
circle{fill:currentColor}
circle.raw{fill:none;stroke:currentColor}
"""


class Panel(NamedTuple):
    """One figure of each step."""

    title: str
    value: Callable[[Step], float]


PANELS = (
    Panel("memory of a stream, KiB", lambda step: step.memory),
    Panel("server time of an event, µs", lambda step: step.event),
    Panel("server time to open a stream, µs", lambda step: step.opening),
    Panel("server time to close a stream, µs", lambda step: step.closing),
    Panel("delay of an event, 99th percentile, ms", lambda step: step.delay[1]),
    Panel(
        "longest pause of the garbage collector, ms",
        lambda step: max(phase.pause_most for phase in (step.while_opening, step.while_open)),
    ),
)


def draw(steps: Sequence[Step]) -> str:
    """All panels, over the number of streams on a logarithmic scale."""
    rows = -(-len(PANELS) // COLUMNS)
    size = (LEFT + ACROSS * (COLUMNS - 1) + WIDTH + 24, TOP + DOWN * (rows - 1) + HEIGHT + 30)
    parts = [*_legend(steps)]
    for number, panel in enumerate(PANELS):
        row, column = divmod(number, COLUMNS)
        parts += _panel(panel, steps, LEFT + ACROSS * column, TOP + DOWN * row)
    return document("growth", size, "What a stream costs, by the number of open streams", STYLE, parts)


def _legend(steps: Sequence[Step]) -> Iterator[str]:
    for number, peer in enumerate(_peers(steps)):
        x = LEFT + 110 * number
        yield f'<path class="{peer}" d="M{x} 12 h26"/><circle class="{peer}" cx="{x + 13}" cy="12" r="3"/>'
        yield text(x + 32, 16, peer)


def _panel(panel: Panel, steps: Sequence[Step], left: int, top: int) -> Iterator[str]:
    sizes = sorted({step.streams for step in steps})
    most = _round(max(panel.value(step) for step in steps))
    base = top + HEIGHT
    yield text(left, top - 10, panel.title, kind="title")
    yield f'<path d="M{left} {top} V{base} H{left + WIDTH}"/>'
    for share in (0.0, 0.5, 1.0):
        y = base - HEIGHT * share
        yield f'<path class="grid" d="M{left} {y:.1f} h{WIDTH}"/>'
        yield text(left - 6, y + 4, f"{most * share:g}", "end", "tick")
    for size in sizes:
        yield text(_x(size, sizes, left), base + 15, f"{size:,}", "middle", "tick")
    for peer in _peers(steps):
        points = [
            (_x(step.streams, sizes, left), base - HEIGHT * panel.value(step) / most)
            for step in steps
            if step.peer == peer
        ]
        yield f'<path class="{peer}" d="M{" L".join(f"{x:.1f} {y:.1f}" for x, y in points)}"/>'
        yield from (f'<circle class="{peer}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points)


def _x(size: int, sizes: Sequence[int], left: int) -> float:
    span = math.log(sizes[-1] / sizes[0]) or 1.0
    return left + 16 + (WIDTH - 32) * math.log(size / sizes[0]) / span


def _peers(steps: Sequence[Step]) -> list[str]:
    return [*dict.fromkeys(step.peer for step in steps)]


def _round(value: float) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value or 1.0))
    return next(power * step for step in (1, 2, 5, 10) if power * step >= value)
