"""Interleaved rounds: each round starts every peer once, so that a drifting machine drifts for all alike."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.harness.process import Server, Setting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.workloads.base import Workload


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run, how often, and at what share of the full load (0 to 1)."""

    workloads: Sequence[Workload]
    peers: Sequence[str]
    rounds: int
    server: str
    scale: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure of one peer in one round."""

    workload: int
    mount: str
    metric: str
    peer: str
    round: int
    value: float


def run(plan: Plan) -> list[Sample]:
    """Run the plan; every measurement has a fresh server, for memory once freed is not given back."""
    return [
        sample
        for workload in plan.workloads
        for number in range(plan.rounds)
        for mount in workload.mounts
        for peer in plan.peers
        for sample in _measure(plan, workload, Setting(workload.number, peer, mount, plan.server), number)
    ]


def _measure(plan: Plan, workload: Workload, setting: Setting, number: int) -> Iterator[Sample]:
    with Server(setting) as server:
        values = workload.measure(server, plan.scale)
    shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    print(
        f"work {workload.number} round {number + 1} {setting.mount} {setting.peer}: {shown}",
        file=sys.stderr,
        flush=True,
    )
    for metric, value in values.items():
        yield Sample(workload.number, setting.mount, metric, setting.peer, number, value)
