"""Interleaved rounds: each round starts every peer once, so that a drifting machine drifts for all alike."""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks import peers
from benchmarks.harness.process import BenchmarkError, Served, Server, Setting
from benchmarks.workloads.base import SUBJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from benchmarks.harness.process import Account
    from benchmarks.workloads.base import Workload

MAIN_SERVER = "uvicorn"  # the targets are for it
FEW = 3  # rounds in which frameworks are measured: they take long, and are far off


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run, how often, and at what share of the full load (0 to 1).

    servers: the first is measured in everything; the others in some workloads only, and without frameworks.
    """

    workloads: Sequence[Workload]
    peers: Sequence[str]
    rounds: int
    servers: Sequence[str]
    scale: float

    def settings(self, workload: Workload, server: str, number: int) -> Iterator[Setting]:
        """Round `number` of one workload."""
        in_short = server != self.servers[0]
        if in_short and not workload.everywhere:
            return
        variants = workload.variants if SUBJECT in self.peers else ()
        chosen = [*self.peers, *(each for each in variants if not peers.missing(each))]
        for mount, peer in itertools.product(workload.mounts, chosen):
            possible = peers.mounts(peer)
            is_framework = "bare" not in possible
            fits = mount in possible or workload.mounts == ("bare",)
            if fits and not (is_framework and (in_short or number >= FEW)):
                yield Setting(workload.number, peer, mount, server)


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure of one peer in one round.

    client: the share of its core that the client was busy.
    taken: the share of the server's core that other programs took.
    """

    workload: int
    server: str
    mount: str
    metric: str
    peer: str
    round: int
    value: float
    client: float
    taken: float = 0.0


@dataclass(slots=True)
class Results:
    """What was measured, and what could not be."""

    samples: list[Sample] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


def run(plan: Plan, start: Callable[[Setting], AbstractContextManager[Served]] = Server) -> Results:
    """Run the plan; every measurement has a fresh server, for memory once freed is not given back."""
    results = Results()
    for name, workload, number in itertools.product(plan.servers, plan.workloads, range(plan.rounds)):
        for setting in plan.settings(workload, name, number):
            told = f"{name}, work {workload.number}, round {number + 1}, {setting.mount} {setting.peer}"
            try:
                with start(setting) as server:
                    values = workload.measure(server, plan.scale)
            except BenchmarkError as error:
                results.troubles.append(f"{told}: {str(error).splitlines()[-1]}")
                print(f"{told}: not measured: {error}", file=sys.stderr, flush=True)
            else:
                results.samples += _samples(setting, number, values, server.total)
                shown = ", ".join(f"{metric} {value:.4g}" for metric, value in values.items())
                print(f"{told}: {shown}", file=sys.stderr, flush=True)
    return results


def _samples(setting: Setting, number: int, values: Mapping[str, float], total: Account) -> list[Sample]:
    return [
        Sample(
            workload=setting.workload,
            server=setting.server,
            mount=setting.mount,
            metric=metric,
            peer=setting.peer,
            round=number,
            value=value,
            client=total.client_share,
            taken=total.taken_share,
        )
        for metric, value in values.items()
    ]
