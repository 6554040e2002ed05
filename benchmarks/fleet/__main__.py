"""python -m benchmarks.fleet stops | returns"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.fleet import chart, returns, stops
from benchmarks.harness import machine
from benchmarks.harness.markdown import put

CLIENTS = 5_000
PACKAGES = ("uvicorn", "httptools", "uvloop", "starlette")
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "many-streams.md"
PICTURE = PAGE.with_name("coming-back.svg")
RESULTS = ROOT / "benchmarks" / "results"


def main() -> int:
    """Measure, show, and write down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__)
    parser.add_argument("what", choices=("stops", "returns"))
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--docs", action="store_true", help="into the documentation too")
    options = parser.parse_args()
    machine.pin(machine.CLIENT_CORE)
    machine.allow_many_sockets()
    table = {"stops": _stops, "returns": _returns}[options.what](options)
    print(table)
    if options.docs:
        _write_page(options.what, table)
    return 0


def _stops(options: argparse.Namespace) -> str:
    cases = list(stops.measure(options.clients))
    _keep("stops", [asdict(case) for case in cases])
    return stops.table(cases)


def _returns(options: argparse.Namespace) -> str:
    results = []
    for ending in returns.ENDINGS:
        print(ending.name, file=sys.stderr)
        results.append(returns.measure(ending, options.clients))
    _keep("returns", [asdict(each) for each in results])
    if options.docs:
        PICTURE.write_text(chart.draw(results), encoding="utf-8")
    return returns.table(results)


def _keep(what: str, data: object) -> None:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{datetime.now(UTC):%Y-%m-%d-%H%M%S}-fleet-{what}.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    print(path, file=sys.stderr)


def _write_page(what: str, table: str) -> None:
    """Put the table between its marks."""
    begin, end = f"<!-- begin: python -m benchmarks.fleet {what} --docs -->", f"<!-- end of {what} -->"
    put(PAGE, begin, end, f"{_preface()}\n\n{table}\n")


def _preface() -> str:
    about = machine.description()
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{datetime.now(UTC):%Y-%m-%d}, Linux {about['kernel']}, Python {about['python']}, {versions}."


if __name__ == "__main__":
    sys.exit(main())
