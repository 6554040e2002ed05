"""Medians and ratios, paired by round."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.harness.rounds import Sample


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with the least and the greatest value beside it."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise at least one value."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Row:
    """One peer's figure in one metric: itself, and over the baseline of the same round."""

    workload: int
    mount: str
    metric: str
    peer: str
    value: Spread
    ratio: Spread | None


def rows(samples: Sequence[Sample], baseline: str = "raw") -> list[Row]:
    """Summarise, in the order in which the samples were first seen."""
    groups: dict[tuple[int, str, str, str], dict[int, float]] = {}
    for each in samples:
        groups.setdefault((each.workload, each.mount, each.metric, each.peer), {})[each.round] = each.value
    order = [*dict.fromkeys(key[:3] for key in groups)]
    return [
        Row(*key, Spread.of([*values.values()]), _ratio(values, groups.get((*key[:3], baseline), {})))
        for key, values in sorted(groups.items(), key=lambda item: order.index(item[0][:3]))
    ]


def _ratio(values: dict[int, float], base: dict[int, float]) -> Spread | None:
    paired = [values[number] / base[number] for number in values if base.get(number)]
    return Spread.of(paired) if paired else None
