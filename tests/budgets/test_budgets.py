"""No hot path costs more than it may."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.budgets import budget
from tests.budgets.counting import Cost

ROOT = Path(__file__).parents[2]

counted = pytest.mark.skipif(
    sys.version_info[:2] != budget.PYTHON,
    reason="instructions are counted on Python {}.{}".format(*budget.PYTHON),
)

WASTEFUL = """
import time
from tests.budgets.clock import CLOCK
time.monotonic = CLOCK
from endwell.wire import SSE
from tests.budgets.program import main

def wasteful(format, chunk):
    sum(number for number in range(10))
    return plain(format, chunk)

plain, SSE.encode = SSE.encode, wasteful
raise SystemExit(main(["--check", "suspending"]))
"""

WITH_A_TASK = """
import time
from tests.budgets.clock import CLOCK
time.monotonic = CLOCK
from endwell.asgi import _connection
from tests.budgets.program import main

_connection.is_own_send = lambda send: False
raise SystemExit(main(["--check", "prompt"]))
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python where nothing of this process counts: no coverage, no hash seed, no debug mode."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={"PATH": os.environ.get("PATH", ""), "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )


@counted
@pytest.mark.timeout(300)  # five seconds of work, on a machine that may be busy
def test_no_path_is_over_its_budget() -> None:
    result = run("-m", "tests.budgets", "--check")
    assert result.returncode == 0, result.stdout + result.stderr


@counted
@pytest.mark.timeout(300)  # five seconds of work, on a machine that may be busy
def test_a_path_that_costs_more_is_named_with_the_place() -> None:
    result = run("-c", WASTEFUL)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "suspending: opcodes: " in result.stdout
    assert "__main__:wasteful" in result.stdout


@counted
@pytest.mark.timeout(300)  # as above
def test_a_heartbeat_that_wakes_a_task_where_none_was_needed_is_over_its_budget() -> None:
    result = run("-c", WITH_A_TASK)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "prompt: futures: 0.00 -> 1.00" in result.stdout
    assert "endwell.engine._writer:Writer.flush: 0.00 -> 1.00" in result.stdout


# -- what is over a budget -----------------------------------------------------------------------------------

BUDGETS = {
    "counted_with": {"python": "3.0.0"},
    "beat": {"opcodes": 100.0, "tasks": 0.0, "where": {"opcodes": {"a:f": 60.0, "a:g": 39.0}}},
}


def excesses(**cost: dict[str, float]) -> list[str]:
    counted: Cost = {what: Counter(places) for what, places in cost.items()}
    return budget.excesses({"beat": counted}, BUDGETS)


def test_five_percent_more_is_within_the_budget() -> None:
    assert excesses(opcodes={"a:f": 60.0, "a:g": 45.0}) == []


def test_more_than_that_is_not_and_the_places_are_named_that_have_grown() -> None:
    (found,) = excesses(opcodes={"a:f": 61.0, "a:g": 39.0, "a:h": 7.0})
    assert found == "beat: opcodes: 100.00 -> 107.00 (+7 %)\n    a:h: 0.00 -> 7.00\n    a:f: 60.00 -> 61.00"


def test_one_of_what_there_was_none_is_too_much() -> None:
    (found,) = excesses(tasks={"a:f": 1.0})
    assert found == "beat: tasks: 0.00 -> 1.00\n    a:f: 0.00 -> 1.00"


def test_what_has_no_budget_is_over_it() -> None:
    assert excesses(futures={"a:f": 1.0}) == ["beat: futures: 1.00, and no budget"]


def test_other_versions_than_those_it_was_counted_with_are_named() -> None:
    assert any(each.startswith("python 3.") for each in budget.other_versions(BUDGETS))


def test_what_is_written_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "FILE", tmp_path / "budgets.toml")
    cost: Cost = {"opcodes": Counter({"a:f.<locals>.g": 3, "a:h": 1_000}), "tasks": Counter()}
    budget.write({"beat": cost})
    written = budget.read()
    assert written["beat"] == {"opcodes": 1003.0, "tasks": 0.0, "where": {"opcodes": {"a:h": 1000.0}}}
    assert budget.excesses({"beat": cost}, written) == []
