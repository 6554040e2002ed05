"""Each workload, at a load that proves nothing but that it works; and one run as it is run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import peers, workloads
from benchmarks.client import Crowd
from benchmarks.harness.process import Setting
from benchmarks.harness.report import Report, about
from benchmarks.harness.rounds import Plan, run
from benchmarks.workloads import at_a_pace, idle, leaving, leaving_at_once, neighbour
from tests.benchmarks.in_thread import InThread
from tests.servers.servers import ROOT

SCALE = 0.01


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower what a share of the load does not."""
    for module, streams in ((at_a_pace, 20), (leaving, 1_000), (leaving_at_once, 20)):
        monkeypatch.setattr(module, "STREAMS", streams)
    monkeypatch.setattr(neighbour, "EVENTS", 500)
    monkeypatch.setattr(idle, "HEARTBEAT", 1.0)
    monkeypatch.setattr(
        idle, "WORKLOAD", replace(idle.WORKLOAD, scene=replace(idle.WORKLOAD.scene, heartbeat=1.0))
    )


@pytest.mark.parametrize("number", workloads.load())
def test_a_workload_gives_all_its_figures(number: int) -> None:
    workload = workloads.load()[number]
    plan = Plan(workloads=[workload], peers=["endwell"], rounds=1, servers=["uvicorn"], scale=SCALE)
    results = run(plan, InThread)
    assert results.troubles == []
    found = {(each.mount, each.metric) for each in results.samples}
    assert found == {(mount, metric) for mount in workload.mounts for metric in workload.metrics}
    table = Report(results, about(plan)).targets()
    assert all(metric.label in table for metric in workload.metrics.values())


def test_on_servers_after_the_first_there_is_less_to_measure() -> None:
    every = [*workloads.load().values()]
    plan = Plan(
        workloads=every, peers=["endwell", "fastapi"], rounds=1, servers=["uvicorn", "granian"], scale=1
    )
    settings = [each for workload in every for each in plan.settings(workload, "granian", 0)]
    assert {each.workload for each in settings} == {1, 2, 5}
    assert {each.peer for each in settings} <= {"endwell", "endwell-linger"}


def test_frameworks_are_measured_in_some_rounds_only() -> None:
    suspending = workloads.load()[2]
    plan = Plan(workloads=[suspending], peers=["raw", "fastapi"], rounds=9, servers=["uvicorn"], scale=1)
    rounds = [[each.peer for each in plan.settings(suspending, "uvicorn", number)] for number in (0, 8)]
    assert rounds == [["raw", "fastapi"], ["raw"]]


def test_every_peer_says_what_it_should_and_its_heart_beats() -> None:
    installed = [name for name in peers.names() if peers.missing(name) is None]
    with ExitStack() as stack:
        crowds = []
        for name in installed:
            server = stack.enter_context(InThread(Setting(4, name, peers.mounts(name)[-1], "uvicorn")))
            crowds.append(stack.enter_context(Crowd(server.port)))
            crowds[-1].open_started(["/stream?1"])
        for crowd in crowds:
            while not idle.heartbeats(crowd, 0.1):
                pass  # a crowd that is at it for too long is given up


def test_a_run_by_its_command(tmp_path: Path) -> None:
    command = "-m benchmarks 1 --quick --rounds 2 --peers endwell --out"
    done = subprocess.run(
        [sys.executable, *command.split(), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (written,) = tmp_path.glob("*.json")
    assert {each["round"] for each in json.loads(written.read_text())["samples"]} == {0, 1}
    assert str(Report.read([written])) == done.stdout.strip()


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="there is one core")
def test_a_server_has_a_core_that_is_not_its_clients() -> None:
    """It is started by a process that is pinned to the other one."""
    script = (
        "import os, subprocess, sys\n"
        "from benchmarks.harness.machine import pin\n"
        "pin(int(sys.argv[1]))\n"
        "print(*os.sched_getaffinity(0), flush=True)\n"
        "if sys.argv[2:]: subprocess.run([sys.executable, *sys.orig_argv[1:3], sys.argv[2]], check=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "1", "0"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1", "0"]
