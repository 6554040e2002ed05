"""When clients came back, as a picture: bars of what was seen, a line for what was promised."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

from benchmarks.fleet.returns import BIN
from benchmarks.harness.svg import document, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.fleet.returns import Returns

WIDTH, LEFT, RIGHT = 700, 60, 16
TOP, HEIGHT, PITCH, BOTTOM = 26, 96, 150, 42
STYLE = """\
path{fill:none;stroke:currentColor;stroke-width:1.3}
rect{fill:currentColor;opacity:.35}
"""


def draw(results: Sequence[Returns]) -> str:
    """One panel for each over the same seconds, each with a scale of its own: they differ a hundredfold."""
    seconds = math.ceil(max(max(returns.came) for returns in results)) + 1
    height = TOP + PITCH * (len(results) - 1) + HEIGHT + BOTTOM
    panels = (_panel(returns, TOP + PITCH * row, seconds) for row, returns in enumerate(results))
    return document(
        "returns",
        (WIDTH, height),
        "Clients that came back in each tenth of a second after the signal",
        STYLE,
        [
            *itertools.chain.from_iterable(panels),
            text(WIDTH - RIGHT, height - 4, "seconds after the signal", "end", "tick"),
        ],
    )


def _panel(returns: Returns, top: int, seconds: int) -> Iterator[str]:
    seen = returns.per_bin()
    most = max(seen.values())
    base, scale = top + HEIGHT, (WIDTH - LEFT - RIGHT) / seconds
    width = scale * BIN
    yield text(LEFT, top - 10, returns.ending.name.replace("`", ""), kind="title")
    for number, count in sorted(seen.items()):
        x, height = LEFT + number * width, HEIGHT * count / most
        yield f'<rect x="{x:.1f}" y="{base - height:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
    if returns.ending.is_told:
        yield _line(returns, most, base, width, round(seconds / BIN))
    yield f'<path d="M{LEFT} {top} V{base} H{WIDTH - RIGHT}"/>'
    yield text(LEFT - 6, top + 8, f"{most:,}", "end", "tick")
    yield text(LEFT - 6, base, "0", "end", "tick")
    for second in range(seconds + 1):
        yield text(LEFT + second * scale, base + 15, f"{second}", "middle", "tick")


def _line(returns: Returns, most: int, base: int, width: float, bins: int) -> str:
    """How many were expected in each bin."""
    shares = [returns.expected(number * BIN) for number in range(bins + 1)]
    clients = len(returns.came)
    points = (
        f"{LEFT + (number + 0.5) * width:.1f} {base - HEIGHT * clients * (after - before) / most:.1f}"
        for number, (before, after) in enumerate(itertools.pairwise(shares))
    )
    return f'<path d="M{" L".join(points)}"/>'
