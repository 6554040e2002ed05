"""The command line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from matrix import acts, network, report
from matrix.acts.base import Act
from matrix.crowd import CLIENTS
from matrix.run import Plan, run
from matrix.servers import SERVERS, named

FULL, QUICK = 10, 3
WAITING = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the table; 1 when something did not happen as it must."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser().parse_args(given)
    plan = _plan(options, network.move_inside(given))
    columns = run(plan)
    print(report.table(plan, columns))
    if options.json:
        options.json.write_text(json.dumps(report.as_data(plan, columns), indent=1) + "\n")
    if options.docs and plan.whole:
        report.write_page(plan, columns)
    short = report.short(plan, columns)
    print("\n".join(["", "as it must not be:", *short] if short else ["", "all as it must be"]))
    return 1 if short else 0


def _plan(options: argparse.Namespace, no_far: str | None) -> Plan:
    chosen: Mapping[str, Act] = options.acts
    quick = {name: act for name, act in chosen.items() if not act.waits}
    return Plan(
        servers=options.only,
        acts=quick if options.quick else chosen,
        repetitions=options.repetitions or (QUICK if options.quick else FULL),
        waiting=WAITING,
        clients=options.clients or (CLIENTS // 4 if options.quick else CLIENTS),
        no_far=no_far,
        whole=options.only is SERVERS and not options.quick and len(chosen) == len(acts.load()),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m matrix",
        description="How long every way of leaving takes on every server, for its source and its socket.",
        epilog="acts: " + ", ".join(acts.load()) + "\nservers: " + ", ".join(each.name for each in SERVERS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", type=named, default=SERVERS, metavar="SERVER,…", help="default: all")
    parser.add_argument("--acts", type=_acts, default=acts.load(), metavar="ACT,…", help="default: all")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, nothing that takes seconds")
    parser.add_argument("--repetitions", type=int, help=f"default: {FULL}, with --quick {QUICK}")
    parser.add_argument(
        "--clients", type=int, help=f"in the crowd; default: {CLIENTS}, with --quick a quarter"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="every sample, too")
    parser.add_argument("--docs", action="store_true", help="write a whole run into docs/reference/matrix.md")
    return parser


def _acts(names: str) -> dict[str, Act]:
    known = acts.load()
    unknown = [name for name in names.split(",") if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
    return {name: act for name, act in known.items() if name in names.split(",")}
