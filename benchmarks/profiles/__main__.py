"""scripts/profile [1 2 3 4 5 7 8 9]: where the time goes, for raw and for endwell."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.harness import machine
from benchmarks.harness.process import BenchmarkError, Setting
from benchmarks.peers import Mount
from benchmarks.profiles import page
from benchmarks.profiles.loads import LOADS
from benchmarks.profiles.sampling import Profile, check, take

BEFORE = Path(__file__).with_name("before.json")
"""endwell's own, before it was made fast."""
PACKAGES = ("uvicorn", "httptools", "uvloop", "starlette", "msgspec")
QUICK = 0.2
PEERS = ("raw", "endwell")
FRAMED: Sequence[tuple[Mount, str]] = (
    ("routed", "raw"),
    ("routed", "endwell"),
    ("routed", "endwell-decorated"),
    ("fastapi", "raw"),
    ("fastapi", "endwell"),
    ("fastapi", "endwell-decorated"),
)
"""Where work 5 is done as well."""


def main() -> int:
    """Profile, show, and write down."""
    parser = argparse.ArgumentParser(prog="scripts/profile", description=__doc__)
    parser.add_argument(
        "workloads", nargs="*", type=int, help=f"of {', '.join(map(str, LOADS))}; default: all"
    )
    parser.add_argument("--quick", action="store_true", help="a fifth of the time, for a look")
    parser.add_argument("--docs", action="store_true", help="into the documentation too")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="endwell's alone, as JSON into a file")
    options = parser.parse_args()
    machine.pin(machine.CLIENT_CORE)
    machine.allow_many_sockets()
    scale = QUICK if options.quick else 1.0
    peers = ("endwell",) if options.keep else PEERS
    try:
        check()
        profiles = [take(setting, scale) for setting in _settings(options.workloads or [*LOADS], peers)]
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 1
    text = page.tables(profiles, _read(BEFORE))
    print(text)
    if options.keep:
        kept = [asdict(each) for each in profiles]
        options.keep.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    if options.docs:
        page.write(text, _preface())
    return 0


def _settings(numbers: Sequence[int], peers: Sequence[str]) -> Iterator[Setting]:
    for number in numbers:
        for peer in peers:
            yield Setting(number, peer, "bare", "uvicorn")
    if 5 in numbers and peers == PEERS:
        for mount, peer in FRAMED:
            yield Setting(5, peer, mount, "uvicorn")


def _read(file: Path) -> list[Profile]:
    return [Profile(**each) for each in json.loads(file.read_text(encoding="utf-8"))] if file.exists() else []


def _preface() -> str:
    about = machine.description()
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{datetime.now(UTC):%Y-%m-%d}, Linux {about['kernel']}, Python {about['python']}, {versions}."


if __name__ == "__main__":
    sys.exit(main())
