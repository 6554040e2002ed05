"""Medians and ratios, paired by round."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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


class Subject(NamedTuple):
    """What was measured: one metric of one workload, in one place."""

    server: str
    workload: int
    mount: str
    metric: str


class Figures:
    """All samples, by what was measured and whose it is."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples: dict[Subject, dict[str, dict[int, Sample]]] = {}
        for each in samples:
            subject = Subject(each.server, each.workload, each.mount, each.metric)
            self._samples.setdefault(subject, {}).setdefault(each.peer, {})[each.round] = each

    def __iter__(self) -> Iterator[Subject]:
        """In the order in which they were first measured."""
        return iter(self._samples)

    def peers(self) -> list[str]:
        """Whose samples there are, in the order in which they were first measured."""
        return [*dict.fromkeys(peer for found in self._samples.values() for peer in found)]

    def value(self, subject: Subject, peer: str) -> Spread | None:
        """The figure itself."""
        found = self._of(subject, peer)
        return Spread.of([each.value for each in found.values()]) if found else None

    def ratio(self, subject: Subject, peer: str, over: str) -> Spread | None:
        """The figure over that of another peer in the same round."""
        base = self._of(subject, over)
        paired = [
            each.value / base[number].value
            for number, each in self._of(subject, peer).items()
            if number in base and base[number].value
        ]
        return Spread.of(paired) if paired else None

    def rounds(self) -> str:
        """How many there were of each work: "5", or "3 to 5"."""
        counts = {max(len(of_peer) for of_peer in by_peer.values()) for by_peer in self._samples.values()}
        return " to ".join(str(count) for count in sorted({min(counts), max(counts)}))

    def client(self, subject: Subject) -> float:
        """The greatest share of its core that the client was busy."""
        found = self._samples[subject].values()
        return max(each.client for of_peer in found for each in of_peer.values())

    def taken(self, subject: Subject) -> float:
        """The greatest share of the server's core that other programs took."""
        found = self._samples[subject].values()
        return max(each.taken for of_peer in found for each in of_peer.values())

    def _of(self, subject: Subject, peer: str) -> dict[int, Sample]:
        return self._samples[subject].get(peer, {})
