"""What a workload is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from benchmarks.harness.process import Server

if TYPE_CHECKING:
    from benchmarks.scene import Scene

Measure: TypeAlias = Callable[[Server, float], Mapping[str, float]]
"""Drives a running server with a share of the full load (0 to 1), and returns metric -> figure."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure: its label with its unit, and endwell's target for each mount, in words."""

    label: str
    targets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One kind of work. `scene` is the server's side of it, `measure` the client's."""

    number: int
    title: str
    scene: Scene
    metrics: Mapping[str, Metric]
    measure: Measure
    mounts: tuple[str, ...] = ("bare",)

    def metric(self, name: str) -> Metric:
        """The metric a figure belongs to."""
        return self.metrics[name]
