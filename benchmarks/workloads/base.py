"""What a workload is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from benchmarks.harness.process import Served

if TYPE_CHECKING:
    from benchmarks.peers import Mount
    from benchmarks.scene import Scene

Measure: TypeAlias = Callable[[Served, float], Mapping[str, float]]
"""Drives a running server with a share of the full load (0 to 1), and returns metric -> figure."""

BASELINE = "raw"
SUBJECT = "endwell"  # the peer the targets are for


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure of ours must come to, on uvicorn.

    limit: the most it may be, or the least, with `at_least`.
    over: the peer whose figure of the same round it is divided by; None: the figure itself.
    peer: whose figure, where it is a variant of ours.
    """

    limit: float
    over: str | None = BASELINE
    mount: str = "bare"
    peer: str = SUBJECT
    at_least: bool = False

    def __str__(self) -> str:
        """In the table, where nothing else is said of it."""
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {self.limit:g}{f' × {self.over}' if self.over else ''}"

    def is_met_by(self, value: float) -> bool:
        """Whether that is good enough."""
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure: its label with its unit, our targets for it, and whether its ratios say anything."""

    label: str
    targets: tuple[Target, ...] = ()
    has_ratios: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One kind of work. `scene` is the server's side of it, `measure` the client's.

    mounts: how peers are mounted; a framework, which has one way only, is measured in the last of them.
    variants: more peers to measure here, where endwell is measured.
    everywhere: worth measuring on other servers than uvicorn.
    """

    number: int
    title: str
    scene: Scene
    metrics: Mapping[str, Metric]
    measure: Measure
    mounts: tuple[Mount, ...] = ("bare",)
    variants: tuple[str, ...] = ()
    everywhere: bool = False
