"""The command line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from matrix import acts, network, report, shutdown, shutdown_report
from matrix.acts.base import Act
from matrix.crowd import CLIENTS
from matrix.run import Plan, run
from matrix.servers import SERVERS
from tests.shutdown.served import SERVED
from tests.shutdown.situations import SITUATIONS

FULL, QUICK = 10, 3
WAITING = 3
LAUNCHES = 40


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the tables; 1 when something did not happen as it must."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser().parse_args(given)
    found: dict[str, object] = {}
    short: list[str] = []
    if not options.shutdown:
        short += _leaving(options, network.move_inside(given), found)
    if options.acts is None:
        short += _shutdown(options, found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    print("\n".join(["", "as it must not be:", *short] if short else ["", "all as it must be"]))
    return 1 if short else 0


def _leaving(options: argparse.Namespace, no_far: str | None, found: dict[str, object]) -> list[str]:
    """Clients that leave."""
    plan = _plan(options, no_far)
    columns = run(plan)
    print(report.table(plan, columns))
    found.update(report.as_data(plan, columns))
    if options.docs and plan.whole:
        report.write_page(plan, columns)
    return report.short(plan, columns)


def _shutdown(options: argparse.Namespace, found: dict[str, object]) -> list[str]:
    """Processes that are told to end."""
    plan = shutdown.Plan(
        servers=[served for served in SERVED if _is_chosen(served.name, options)],
        launches=options.launches or (1 if options.quick else LAUNCHES),
        crowd=_crowd(options),
        situations=options.situations or tuple(SITUATIONS),
    )
    columns = shutdown.run(plan)
    print(shutdown_report.table(plan, columns))
    found["shutdown"] = shutdown_report.as_data(columns)
    if options.docs and not (options.only or options.quick or options.situations):
        shutdown_report.write_page(plan, columns)
    return shutdown_report.short(columns)


def _crowd(options: argparse.Namespace) -> int:
    if options.clients is not None:
        return int(options.clients)
    return 0 if options.quick or options.situations else shutdown.CLIENTS


def _is_chosen(name: str, options: argparse.Namespace) -> bool:
    return options.only is None or name in options.only


def _plan(options: argparse.Namespace, no_far: str | None) -> Plan:
    chosen: Mapping[str, Act] = options.acts or acts.load()
    quick = {name: act for name, act in chosen.items() if not act.waits}
    return Plan(
        servers=[served for served in SERVERS if _is_chosen(served.name, options)],
        acts=quick if options.quick else chosen,
        repetitions=options.repetitions or (QUICK if options.quick else FULL),
        waiting=WAITING,
        clients=options.clients or (CLIENTS // 4 if options.quick else CLIENTS),
        no_far=no_far,
        whole=options.only is None and not options.quick and len(chosen) == len(acts.load()),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m matrix",
        description="How long every way of leaving takes on every server, for its source and its socket; "
        "and how long a process takes to end after SIGTERM.",
        epilog="acts: " + ", ".join(acts.load()) + "\nservers: " + ", ".join(_names()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", type=named, metavar="SERVER,…", help="default: all")
    parser.add_argument("--acts", type=_acts, metavar="ACT,…", help="default: all, and then SIGTERM")
    parser.add_argument("--shutdown", action="store_true", help="SIGTERM alone")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, nothing that takes seconds")
    parser.add_argument("--repetitions", type=int, help=f"default: {FULL}, with --quick {QUICK}")
    parser.add_argument("--situations", type=_situations, metavar="NAME,…", help="at SIGTERM; default: all")
    least = f"of each server, at SIGTERM; default: {LAUNCHES}, with --quick one of each situation"
    parser.add_argument("--launches", type=int, help=least)
    parser.add_argument(
        "--clients",
        type=int,
        help=f"in the crowd; default: {CLIENTS}, with --quick a quarter; "
        f"at SIGTERM {shutdown.CLIENTS}, with --quick none",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="every sample, too")
    parser.add_argument("--docs", action="store_true", help="write a whole run into docs/reference/")
    return parser


def _names() -> list[str]:
    """Of the servers of both tables."""
    return list(dict.fromkeys([*(each.name for each in SERVERS), *(each.name for each in SERVED)]))


def named(names: str) -> list[str]:
    """The names in a list with commas.

    Raises:
        ArgumentTypeError: one is no server's.
    """
    unknown = [name for name in names.split(",") if name not in _names()]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {', '.join(_names())}")
    return names.split(",")


def _situations(names: str) -> list[str]:
    unknown = [name for name in names.split(",") if name not in SITUATIONS]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {', '.join(SITUATIONS)}")
    return names.split(",")


def _acts(names: str) -> dict[str, Act]:
    known = acts.load()
    unknown = [name for name in names.split(",") if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
    return {name: act for name, act in known.items() if name in names.split(",")}
