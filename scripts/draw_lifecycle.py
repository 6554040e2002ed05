"""Draw a stream's life from the machine that decides it: the picture and the tables of the docs.

    python scripts/draw_lifecycle.py

writes docs/explanation/lifecycle.svg, and the tables between the markers in docs/explanation/lifecycle.md.
What follows on a step is read from the machine's table. What follows when time passes is not in it: that is
found out by bringing a machine into each state, and letting the one deadline pass.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from endwell import Finish, Grace, Policy
from endwell.errors import IllegalStep
from endwell.lifecycle import OUTCOMES, TRANSITIONS, Act, Cause, Farewell, Machine, Outcome, State, Step

PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "lifecycle.md"
PICTURE = PAGE.with_suffix(".svg")

CALM = Policy(heartbeat=None, hold=None, send=None)
DEADLINES: Mapping[str, Any] = {
    "hold": 1.0,
    "heartbeat": 1.0,
    "first_chunk": 1.0,
    "between_chunks": 1.0,
    "send": 1.0,
    "min_rate": (1, 1.0),
    "total": 1.0,
    "on_leave": Grace(1.0),
    "cleanup": 1.0,
}
"""Each with what makes it pass in a second."""
WAYS: Mapping[State, tuple[tuple[Step | Cause, ...], ...]] = {
    State.HELD: ((),),
    State.OPEN: ((Step.FIRST_CHUNK,), (Step.TICK,)),  # with a chunk; without one, when the hold is over
    State.FLUSHING: ((Step.SOURCE_ENDED,),),
    State.UNATTENDED: ((Cause.DISCONNECT,),),
    State.CLOSING: ((Cause.SERVER_CANCELLED,),),
    State.ENDED: ((Cause.SERVER_CANCELLED, Step.CLEANUP_DONE),),
}
TOLD = {
    Farewell.NOTHING: "nothing",
    Farewell.FINISH: "the regular end of the body",
    Farewell.STATUS: "an HTTP error",
    Farewell.FRAME: "a terminal frame, or a cut",
}
OVER = {Act.COMMIT: "hold over", Act.ABANDON: "cleanup overdue"}


class Passed(NamedTuple):
    """What it comes to when a deadline passes."""

    act: Act
    following: State
    cause: Cause | None


# -- asking the machine --------------------------------------------------------------------------------------


def passed(deadline: str, state: State) -> Passed | None:
    """What follows when `deadline`, the only one there is, passes in `state`; None if it is not running."""
    for way in WAYS[state]:
        # The way takes no time, and the deadline one second. The cleanup's is always there, but far off.
        changes: dict[str, Any] = {
            "hold": 0.0 if Step.TICK in way else None,
            "on_leave": Finish(1e6) if state is State.UNATTENDED else "cancel",
            deadline: DEADLINES[deadline],
        }
        machine = Machine(replace(CALM, **changes), 0.0)
        try:
            for step in way:
                machine.feed(step, 0.0)
        except IllegalStep:
            continue
        if machine.state is not state:
            continue
        if state is not State.HELD:  # nothing is written while the status line is held
            machine.blocked_since = 0.0 if deadline == "send" else None
            machine.behind_since = 0.0 if deadline == "min_rate" else None
            machine.saw(0, 0.0)
        act = machine.feed(Step.TICK, 1.0)
        if act is not Act.NOTHING:
            return Passed(act, machine.state, machine.cause)
    return None


def farewell(cause: Cause, state: State) -> Farewell | None:
    """What the client is told when `cause` ends a stream in `state`; None if it cannot."""
    machine = Machine(CALM, 0.0)
    for step in WAYS[state][0]:
        machine.feed(step, 0.0)
    try:
        machine.feed(Step.FLUSHED if cause is Cause.SOURCE_ENDED else cause, 0.0)
    except IllegalStep:
        return None
    return machine.farewell


def edges() -> dict[tuple[State, State], list[str]]:
    """Everything that leads from one state to another, by step or by time."""
    found: dict[tuple[State, State], list[str]] = defaultdict(list)
    for state, steps in TRANSITIONS.items():
        for step, following in steps.items():
            if following is not state:
                found[state, following].append(step.value)
        for deadline in DEADLINES:
            end = passed(deadline, state)
            if end is not None and end.following is not state and end.act in OVER:
                found[state, end.following].append(OVER[end.act])
    return found


# -- the picture ---------------------------------------------------------------------------------------------

WIDTH, HEIGHT, PITCH = 132, 36, 92  # of a state's box, and from one to the next
BULGE = 46  # how far an arc leaps to the side, for each state it passes over
AXIS, TOP, LINE = 350, 8, 17

STYLE = (
    "svg.lifecycle{max-width:100%;height:auto}"
    "svg.lifecycle text{font:13px sans-serif;fill:currentColor}"
    "svg.lifecycle text.state{font-weight:bold;text-anchor:middle}"
    # A margin in the page's colour, so that a line behind a word does not strike it out.
    "svg.lifecycle text.step{paint-order:stroke;stroke:var(--color-background-primary,Canvas);stroke-width:5}"
    "svg.lifecycle :is(rect,path.way){fill:none;stroke:currentColor;stroke-width:1.3}"
    "svg.lifecycle marker{fill:currentColor}"
)


def draw() -> str:
    """The states in a column, what leads on between them, what leaps over some of them to either side."""
    ways = {(list(State).index(a), list(State).index(b)): labels for (a, b), labels in edges().items()}
    height = 2 * TOP + PITCH * (len(State) - 1) + HEIGHT
    lines = [
        *(_straight(row, labels) for (row, end), labels in ways.items() if end == row + 1),
        *(_leap(row, end, side, ways[row, end]) for (row, end), side in _sides(ways).items()),
    ]
    # Words come last: they stand above the lines.
    parts = [
        *(line for line, _ in lines),
        *(_box(row, state) for row, state in enumerate(State)),
        *(words for _, words in lines),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="lifecycle" viewBox="0 0 {2 * AXIS} {height}" '
        f'width="{2 * AXIS}" role="img" aria-label="The states of a stream, and what leads to the next">\n'
        f"<style>{STYLE}</style>\n"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto"><path d="M0 0 L8 4 L0 8 z"/></marker></defs>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _sides(ways: Iterable[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """Put each leap to the right (1), or to the left (-1) if it would cross one there; short ones first."""
    sides: dict[tuple[int, int], int] = {}
    for start, end in sorted((way for way in ways if way[1] > way[0] + 1), key=lambda way: way[1] - way[0]):
        on_the_right = (way for way, side in sides.items() if side == 1)
        crossing = any(a < start < b < end or start < a < end < b for a, b in on_the_right)
        sides[start, end] = -1 if crossing else 1
    return sides


def _top(row: int) -> int:
    return TOP + PITCH * row


def _box(row: int, state: State) -> str:
    left, top = AXIS - WIDTH // 2, _top(row)
    return (
        f'<rect x="{left}" y="{top}" width="{WIDTH}" height="{HEIGHT}" rx="8"/>'
        f'<text class="state" x="{AXIS}" y="{top + 23}">{escape(state.value)}</text>'
    )


def _straight(row: int, labels: list[str]) -> tuple[str, str]:
    start, end = _top(row) + HEIGHT, _top(row + 1)
    return _way(f"M{AXIS} {start} V{end}"), _words(AXIS + 8, (start + end) / 2, labels, "start")


def _leap(start: int, end: int, side: int, labels: list[str]) -> tuple[str, str]:
    # Leaves below the middle of its box and arrives above it: so leaps that share a box stay apart.
    edge, control = AXIS + side * WIDTH // 2, AXIS + side * (WIDTH // 2 + BULGE * (end - start))
    leave, arrive = _top(start) + HEIGHT - 10, _top(end) + 10
    curve = f"M{edge} {leave} C{control} {leave} {control} {arrive} {edge} {arrive}"
    # A cubic curve comes three quarters of the way to its control points.
    apex = edge + 0.75 * (control - edge) + side * 8
    return _way(curve), _words(apex, (leave + arrive) / 2, labels, "start" if side == 1 else "end")


def _way(path: str) -> str:
    return f'<path class="way" marker-end="url(#tip)" d="{path}"/>'


def _words(x: float, middle: float, labels: list[str], anchor: str) -> str:
    first = middle + 5 - LINE * (len(labels) - 1) / 2
    rows = ((first + LINE * row, escape(label)) for row, label in enumerate(labels))
    return "".join(
        f'<text class="step" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{label}</text>' for y, label in rows
    )


# -- the tables ----------------------------------------------------------------------------------------------


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def steps_table() -> str:
    """Each step in each state."""
    rows = ([step.value, *(_cell(TRANSITIONS[state].get(step), state) for state in State)] for step in Step)
    return _table(["step", *(state.value for state in State)], rows)


def _cell(following: State | None, state: State) -> str:
    if following is None:
        return "—"
    return "stays" if following is state else f"→ {following.value}"


def deadlines_table() -> str:
    """Each deadline in each state in which one runs."""
    states = [state for state in State if state is not State.ENDED]
    rows = ([f"`{each}`", *(_passing(passed(each, state)) for state in states)] for each in DEADLINES)
    return _table(["deadline", *(state.value for state in states)], rows)


def _passing(end: Passed | None) -> str:
    if end is None:
        return ""
    if end.cause is not None and end.act is Act.CANCEL:
        return f"`{OUTCOMES[end.cause].value}`"
    return OVER.get(end.act, end.act.value) + (f" → {end.following.value}" if end.act in OVER else "")


def causes_table() -> str:
    """Each cause with its outcome, and what the client is told of it."""
    return _table(
        ["cause", "outcome", "told before the status line", "told after it"],
        (
            [f"`{cause.value}`", f"`{outcome.value}`", *_told(cause)]
            for cause, outcome in OUTCOMES.items()
            if outcome is not Outcome.REJECTED
        ),
    )


def _told(cause: Cause) -> Iterator[str]:
    before = farewell(cause, State.HELD) if _can_come_first(cause) else None
    after = farewell(cause, State.FLUSHING if cause is Cause.SOURCE_ENDED else State.OPEN)
    for told in (before, after):
        yield "—" if told is None else TOLD[told]


def _can_come_first(cause: Cause) -> bool:
    """Whether a cause can come before anything was sent."""
    if cause in (Cause.SEND_BLOCKED, Cause.SEND_SLOW, Cause.SEND_FAILED, Cause.SEND_CRASHED):
        return False
    return cause.value not in DEADLINES or passed(cause.value, State.HELD) is not None


# -- the files -----------------------------------------------------------------------------------------------


def drawn() -> dict[Path, str]:
    """Each generated file and its content."""
    page = PAGE.read_text(encoding="utf-8")
    tables = {"steps": steps_table(), "deadlines": deadlines_table(), "causes": causes_table()}
    for name, table in tables.items():
        begin, end = f"<!-- {name}: drawn by scripts/draw_lifecycle.py -->", f"<!-- end of {name} -->"
        page, found = re.subn(
            f"{re.escape(begin)}.*?{re.escape(end)}", f"{begin}\n\n{table}\n\n{end}", page, flags=re.DOTALL
        )
        assert found == 1, f"{PAGE} needs one place for the table of {name}"
    return {PAGE: page, PICTURE: draw()}


if __name__ == "__main__":
    for path, content in drawn().items():
        path.write_text(content, encoding="utf-8")
