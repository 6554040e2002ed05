"""`python -m tests.interleaving CODE …`: play schedules again, and print what ran, step by step."""

from __future__ import annotations

import sys

from tests.interleaving.schedule import Schedule
from tests.interleaving.trace import faults, trace


def main(codes: list[str]) -> int:
    """Print the trace of each code; the number of those that break a law."""
    failures = 0
    for code in codes:
        schedule = Schedule.parse(code)
        print(trace(schedule))
        broken = faults(schedule)
        failures += bool(broken)
        print("broken:", "; ".join(broken) or "nothing", end="\n\n")
    return failures


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
