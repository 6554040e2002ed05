"""All schedules there are, and samples of them.

The whole space is too large to be played: so every schedule has a number, and samples go through the numbers
with a stride. It is the golden ratio's part of the space, so wherever one stops, the sample lies even.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from tests.interleaving.play import Play
from tests.interleaving.schedule import ACTS, FLAVOURS, FORMATS, MANNERS, PRELUDES, QUIET, SHUTDOWN, Schedule
from tests.interleaving.sources import SOURCES

GAPS = (*range(13), 15, 18, QUIET)
"""Handles between one act and the next. After about 20 every stream is at rest."""

_SECOND_CANCELS = (*[None] * 12, *range(12), 14, 17, QUIET)
"""When, if at all, the request's task is cancelled once more."""

_NUMBERS_OF_ACTS = (2, 3, 3, 3)

_GOLDEN = (math.sqrt(5) - 1) / 2


def _radices(flavours: Sequence[str]) -> tuple[Sequence[Any], ...]:
    """What there is to choose from; what changes from one number to the next comes first."""
    acts = [ACTS, GAPS] * 3
    return (
        *acts,
        _SECOND_CANCELS,
        _NUMBERS_OF_ACTS,
        list(SOURCES),
        list(PRELUDES),
        FORMATS,
        list(MANNERS),
        flavours,
    )


def size(flavours: Sequence[str] = FLAVOURS) -> int:
    """How many numbers there are."""
    return math.prod(len(radix) for radix in _radices(flavours))


def schedule(number: int, flavours: Sequence[str] = FLAVOURS) -> Schedule:
    """The schedule with this number."""
    digits = []
    for radix in _radices(flavours):
        number, digit = divmod(number, len(radix))
        digits.append(radix[digit])
    *pairs, second, count, source, prelude, wire, manner, flavour = digits
    acts = list(zip(pairs[::2], pairs[1::2], strict=True))[:count]
    if second is not None:
        acts.append(("cancel", second))
    return Schedule(flavour, wire, prelude, source, manner, tuple(acts))


def sample(many: int, flavours: Sequence[str] = FLAVOURS, *, start: int = 0) -> Iterator[Schedule]:
    """So many schedules, spread evenly over all of them."""
    whole = size(flavours)
    stride = int(whole * _GOLDEN)
    while math.gcd(stride, whole) != 1:
        stride += 1
    for index in range(start, start + many):
        yield schedule(index * stride % whole, flavours)


def sample_of_shutdowns(many: int) -> Iterator[Schedule]:
    """So many schedules, in each of which every task is cancelled at the second act."""
    for each in sample(many):
        if each.source != "scoped":  # anyio never awaits what it starts there then
            (_, gap), *others = each.acts[1:]
            yield replace(each, acts=(each.acts[0], (SHUTDOWN, gap), *others))


def all_pairs(flavour: str, wire: str = "sse", source: str = "puppet") -> Iterator[Schedule]:
    """Every two acts, in both orders, at every two places that there are."""
    for prelude, first, second in itertools.product(PRELUDES, ACTS, ACTS):
        start = Schedule(flavour, wire, prelude, source, "cancel", ())
        for before in _with_next(start, first):
            yield from _with_next(before, second)


def _with_next(schedule: Schedule, what: str) -> Iterator[Schedule]:
    """The schedule with one more act, at every place that there is for it."""
    last = replace(schedule, acts=(*schedule.acts, (what, QUIET)))
    places = Play(last).run().happened[-1]
    for gap in range(places):
        yield replace(schedule, acts=(*schedule.acts, (what, gap)))
    yield last
