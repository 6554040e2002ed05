"""python -m benchmarks.growth steps | coming | crowd"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.growth import chart, coming, crowd, report, steps
from benchmarks.growth.app import PEERS
from benchmarks.harness import machine
from benchmarks.harness.markdown import put
from benchmarks.harness.process import BenchmarkError

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "growth.md"
RESULTS = ROOT / "benchmarks" / "results"


def main() -> int:
    """Measure, show, and write down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("what", choices=("steps", "coming", "crowd"))
    parser.add_argument("--streams", type=int, nargs="*", help="how many; of steps, each of them")
    parser.add_argument("--docs", action="store_true", help="into the documentation too")
    options = parser.parse_args()
    machine.pin(machine.CLIENT_CORE)
    machine.allow_many_sockets()
    {"steps": _steps, "coming": _coming, "crowd": _crowd}[options.what](options)
    return 0


def _steps(options: argparse.Namespace) -> None:
    done = []
    for step in steps.measure(PEERS, options.streams or steps.SIZES):
        print(f"{step.streams} of {step.peer}", file=sys.stderr)
        done.append(step)
    _keep("steps", [asdict(step) for step in done])
    print(steps.table(done))
    if options.docs:
        PAGE.with_suffix(".svg").write_text(chart.draw(done), encoding="utf-8")
        _put("steps", steps.table(done))


def _coming(options: argparse.Namespace) -> None:
    (size,) = options.streams or (coming.STREAMS,)
    parts = [*coming.measure(size)]
    _keep("coming", [asdict(part) for part in parts])
    print(coming.table(parts))
    if options.docs:
        _put("coming", coming.table(parts))


def _crowd(options: argparse.Namespace) -> None:
    (size,) = options.streams or (crowd.STREAMS,)
    rarely, default = crowd.measure(size, "rarely"), None
    try:
        default = crowd.measure(size)
    except BenchmarkError as error:  # more than a core can do, perhaps: that is worth knowing too
        print(f"with CPython's own thresholds: {error}", file=sys.stderr)
    _keep("crowd", [asdict(result) for result in (rarely, default) if result is not None])
    print(report.table(rarely, default))
    if options.docs:
        _put("crowd", report.table(rarely, default))


def _keep(what: str, data: object) -> None:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{datetime.now(UTC):%Y-%m-%d-%H%M%S}-growth-{what}.json"
    path.write_text(json.dumps(data, indent=1), encoding="utf-8")
    print(path, file=sys.stderr)


def _put(what: str, table: str) -> None:
    """Put the table between its marks.

    Raises:
        ValueError: The page has none.
    """
    begin, end = f"<!-- begin: python -m benchmarks.growth {what} --docs -->", f"<!-- end of {what} -->"
    about = machine.description()
    where = f"{datetime.now(UTC):%Y-%m-%d}, Linux {about['kernel']}, Python {about['python']}."
    put(PAGE, begin, end, f"{where}\n\n{table}\n")


if __name__ == "__main__":
    sys.exit(main())
