"""What a failing schedule did, as short as can be."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import replace

from tests.interleaving.laws import broken_laws
from tests.interleaving.loop import SteppedLoop
from tests.interleaving.play import Play, world
from tests.interleaving.schedule import FLAVOURS, FORMATS, MANNERS, PRELUDES, Schedule

_SIMPLER = {
    "flavour": FLAVOURS,
    "wire": FORMATS,
    "prelude": tuple(PRELUDES),
    "source": ("puppet",),
    "manner": tuple(MANNERS),
}


def faults(schedule: Schedule) -> list[str]:
    """Play a schedule by itself, to the garbage collector's last word; return the laws that it broke."""
    with world() as reports:
        gc.collect()
        play = Play(schedule)
        try:
            play.run()
            broken = broken_laws(play, reports.records)
        except Exception as error:
            broken = [f"{type(error).__name__}: {error}"]
        known = len(play.loop.complaints)
        gc.collect()
        return broken + play.loop.complaints[known:]


def shrunk(schedule: Schedule) -> Schedule:
    """The simplest schedule that can be made of this one and still breaks a law."""
    while (simpler := next((each for each in _simpler(schedule) if faults(each)), None)) is not None:
        schedule = simpler
    return schedule


def _simpler(schedule: Schedule) -> Iterator[Schedule]:
    acts = schedule.acts
    for index in range(len(acts)):
        yield replace(schedule, acts=(*acts[:index], *acts[index + 1 :]))
    for field, values in _SIMPLER.items():
        value = getattr(schedule, field)
        for other in values[: values.index(value)] if value in values else values:
            yield replace(schedule, **{field: other})  # type: ignore[arg-type]
    for index, (what, gap) in enumerate(acts):
        for less in {gap // 2, gap - 1} & set(range(gap)):
            yield replace(schedule, acts=(*acts[:index], (what, less), *acts[index + 1 :]))


def trace(schedule: Schedule) -> str:
    """All that ran and happened, line by line, and what came of it."""
    lines: list[str] = []

    def note(loop: SteppedLoop, what: str) -> None:
        lines.append(f"{loop.time():8g} s  {what}")

    with world() as reports:
        play = Play(schedule, note)
        try:
            play.run()
        except Exception as error:
            lines.append(f"{type(error).__name__}: {error}")
    ended = [f"{each.outcome} ({each.cause}), cleanup {each.cleanup:g} s" for each in play.endings]
    went_out = [str(message.get("status", message.get("body"))) for message in play.server.taken]
    return "\n".join(
        [
            schedule.code,
            *lines,
            f"went out: {', '.join(part if len(part) < 50 else part[:40] + '…' for part in went_out)}",
            f"ended: {', '.join(ended)}",
            f"logged: {[record.getMessage() for record in reports.records]}",
        ]
    )


def report(schedule: Schedule, simplest: Schedule) -> str:
    """A failing schedule, for a person: the laws it broke, its code, the simplest like it, and its trace."""
    return "\n".join(
        [
            f"{schedule.code}: {'; '.join(faults(schedule))}",
            f"simplest such: {simplest.code}: {'; '.join(faults(simplest))}",
            "",
            trace(simplest),
            "",
            f"to play it again: python -m tests.interleaving {simplest.code}",
        ]
    )
