"""One server, measured as `make matrix` measures it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.servers.servers import ROOT


def test_a_run_measures_and_reports(tmp_path: Path) -> None:
    samples = tmp_path / "samples.json"
    command = "-m matrix --only uvicorn-h11-asyncio --acts fin,rst_stream --repetitions 2 --clients 5 --json"
    done = subprocess.run(
        [sys.executable, *command.split(), str(samples)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "n/a: HTTP/2 only" in done.stdout
    (column,) = json.loads(samples.read_text())["columns"]
    endings = [sample["ending"] for sample in column["cells"]["fin"]["samples"]]
    assert endings == ["client_gone: disconnect"] * 2
    assert len(column["crowd"]) == 5
    assert column["stopped"] is not None


def test_a_run_shuts_servers_down(tmp_path: Path) -> None:
    samples = tmp_path / "samples.json"
    command = "-m matrix --shutdown --only uvicorn-h11-asyncio --situations idle --launches 2 --json"
    done = subprocess.run(
        [sys.executable, *command.split(), str(samples)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2" in done.stdout
    (column,) = json.loads(samples.read_text())["shutdown"]["columns"]
    assert {row: len(samples) for row, samples in column["samples"].items()} == {"nothing": 1, "idle": 1}
