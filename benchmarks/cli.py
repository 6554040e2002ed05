"""The command line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import peers, servers, workloads
from benchmarks.harness import machine, page
from benchmarks.harness.report import Report, about
from benchmarks.harness.rounds import MAIN_SERVER, Plan, run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.workloads.base import Workload

RESULTS = Path(__file__).parent / "results"
ROUNDS, QUICK_ROUNDS = 5, 2
QUICK = 0.25  # share of the full load
QUICK_PEERS = ["raw", "endwell", "starlette", "sse-starlette"]
PEERS = [*QUICK_PEERS, "fastapi", "litestar"]
SERVERS = [MAIN_SERVER, "hypercorn", "granian"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for, print the tables, keep them in `results/`; 1 if something was not measured."""
    options = _parser().parse_args(arguments)
    report = Report.read(options.read) if options.read else _measured(options)
    print(report)
    if options.docs:
        page.write(report)
    return 1 if report.results.troubles else 0


def _measured(options: argparse.Namespace) -> Report:
    machine.pin(machine.CLIENT_CORE)
    machine.allow_many_sockets()
    plan = _plan(options)
    report = Report(run(plan), about(plan))
    for path in report.write(options.out):
        print(path, file=sys.stderr)
    return report


def _plan(options: argparse.Namespace) -> Plan:
    return Plan(
        workloads=options.workloads or [*workloads.load().values()],
        peers=_installed(options.peers or (QUICK_PEERS if options.quick else PEERS)),
        rounds=options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS),
        servers=options.servers or (SERVERS if options.docs else [MAIN_SERVER]),
        scale=options.scale or (QUICK if options.quick else 1.0),
    )


def _installed(names: Sequence[str]) -> list[str]:
    """Those that can be measured here; of the others it is told why not."""
    why_not = {name: peers.missing(name) for name in names}
    for name, why in why_not.items():
        if why:
            print(f"{name} is left out: {why}", file=sys.stderr)
    return [name for name, why in why_not.items() if not why]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure what streaming costs, endwell beside its peers.",
        epilog="\n".join(f"{number}: {each.title}" for number, each in workloads.load().items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("workloads", nargs="*", type=_known, help="numbers, below; default: all")
    parser.add_argument("--quick", action="store_true", help="smaller loads, fewer peers, for a look")
    parser.add_argument("--peers", type=_names_in(peers.names()), help=f"of {', '.join(peers.names())}")
    parser.add_argument(
        "--servers",
        type=_names_in(servers.names()),
        help=f"of {', '.join(servers.names())}; default: {MAIN_SERVER}. All but the first in short",
    )
    parser.add_argument("--scale", type=float, help=f"share of the load; default: 1, with --quick {QUICK}")
    parser.add_argument("--rounds", type=int, help=f"default: {ROUNDS}, with --quick {QUICK_ROUNDS}")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument(
        "--docs", action="store_true", help="on all servers, and into docs/reference/speed.md"
    )
    parser.add_argument(
        "--read", type=Path, nargs="+", metavar="FILE", help="show the JSON of earlier runs; measure nothing"
    )
    return parser


def _known(text: str) -> Workload:
    try:
        return workloads.load()[int(text)]
    except (ValueError, KeyError):
        raise argparse.ArgumentTypeError(f"no workload {text!r}") from None


def _names_in(known: Sequence[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        chosen = text.split(",")
        unknown = [name for name in chosen if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
        return chosen

    return names
