"""One server, measured as `make matrix` measures it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.servers.servers import ROOT


def _run(arguments: str, samples: Path) -> str:
    """What a run prints; it writes its samples down."""
    done = subprocess.run(
        [sys.executable, "-m", "matrix", *arguments.split(), "--json", str(samples)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_run_measures_and_reports(tmp_path: Path) -> None:
    samples = tmp_path / "samples.json"
    said = _run("--only uvicorn-h11-asyncio --acts fin,rst_stream --repetitions 2 --clients 5", samples)
    assert "n/a: HTTP/2 only" in said
    (column,) = json.loads(samples.read_text())["columns"]
    endings = [sample["ending"] for sample in column["cells"]["fin"]["samples"]]
    assert endings == ["client_gone: disconnect"] * 2
    assert len(column["crowd"]) == 5
    assert column["stopped"] is not None


def test_a_run_shuts_servers_down(tmp_path: Path) -> None:
    samples = tmp_path / "samples.json"
    said = _run("--shutdown --only uvicorn-h11-asyncio --situations idle --launches 2", samples)
    assert "2 of 2" in said
    (column,) = json.loads(samples.read_text())["shutdown"]["columns"]
    assert {row: len(samples) for row, samples in column["samples"].items()} == {"nothing": 1, "idle": 1}
