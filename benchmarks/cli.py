"""The command line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import peers, servers, workloads
from benchmarks.harness import machine, report
from benchmarks.harness.process import BenchmarkError
from benchmarks.harness.rounds import Plan, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.workloads.base import Workload

RESULTS = Path(__file__).parent / "results"
QUICK = 0.25  # share of the full load
DEFAULT_PEERS = ("raw", "endwell", "starlette", "sse-starlette")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments name, print the table, keep it in `results/`; 1 when a run failed."""
    options = _parser().parse_args(arguments)
    plan = _plan(options)
    machine.pin(machine.CLIENT_CORE)
    machine.allow_many_sockets()
    try:
        samples = run(plan)
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 1
    print(report.table(plan, samples))
    for path in report.write(plan, samples, options.out):
        print(path, file=sys.stderr)
    return 0


def _plan(options: argparse.Namespace) -> Plan:
    return Plan(
        workloads=options.workloads or [*workloads.load().values()],
        peers=options.peers,
        rounds=options.rounds or (3 if options.quick else 5),
        server=options.server,
        scale=QUICK if options.quick else 1.0,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure what streaming costs, endwell beside its peers.",
        epilog="\n".join(f"{number}: {each.title}" for number, each in workloads.load().items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("workloads", nargs="*", type=_known, help="numbers, below; default: all")
    parser.add_argument("--peers", type=_names, default=DEFAULT_PEERS, help=f"of {', '.join(peers.names())}")
    parser.add_argument("--rounds", type=int, help="default: 5, with --quick 3")
    parser.add_argument("--quick", action="store_true", help="smaller loads, for a look")
    parser.add_argument("--server", choices=servers.names(), default="uvicorn")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    return parser


def _known(text: str) -> Workload:
    try:
        return workloads.load()[int(text)]
    except (ValueError, KeyError):
        raise argparse.ArgumentTypeError(f"no workload {text!r}") from None


def _names(text: str) -> list[str]:
    chosen = text.split(",")
    unknown = set(chosen) - set(peers.names())
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown peers: {', '.join(sorted(unknown))}")
    return chosen
