"""The command line of the budgets; see `tests.budgets`."""

from __future__ import annotations

import argparse
import gc
from collections.abc import Sequence

from tests.budgets import budget
from tests.budgets.counting import Cost
from tests.budgets.measure import idle_cost, path_cost
from tests.budgets.paths import PATHS

IDLE = "idle"


def main(arguments: Sequence[str] | None = None) -> int:
    """Count, and show, write or check; 1 if something is over its budget."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.budgets", description="Count what the hot paths cost."
    )
    parser.add_argument(
        "paths", nargs="*", metavar="path", help=f"of {', '.join([*PATHS, IDLE])}; default: all"
    )
    parser.add_argument("--places", type=int, default=10, help="how many to show (default: 10)")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--write", action="store_true", help="make what they cost the budgets")
    action.add_argument("--check", action="store_true", help="say what is over its budget")
    options = parser.parse_args(arguments)
    gc.disable()
    costs = {name: _cost(name) for name in options.paths or [*PATHS, IDLE]}
    if options.write:
        budget.write(costs)
        return 0
    if options.check:
        return _check(costs)
    for name, cost in costs.items():
        _show(name, cost, options.places)
    return 0


def _cost(name: str) -> Cost:
    return idle_cost() if name == IDLE else path_cost(PATHS[name])


def _check(costs: dict[str, Cost]) -> int:
    budgets = budget.read()
    found = budget.excesses(costs, budgets)
    if found:
        others = budget.other_versions(budgets)
        print(
            "over budget:",
            *found,
            *(["counted with other versions: " + "; ".join(others)] if others else []),
            sep="\n",
        )
        print("if that is what the change is worth: scripts/update-budgets")
    return 1 if found else 0


def _show(name: str, cost: Cost, places: int) -> None:
    title = "an idle stream" if name == IDLE else PATHS[name].title
    print(
        f"== {name}: {title}: " + ", ".join(f"{counts.total():.2f} {what}" for what, counts in cost.items())
    )
    for what, counts in cost.items():
        for place, count in counts.most_common(places):
            print(f"{count:12.2f} {what:8} {place}")
