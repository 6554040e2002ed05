"""The demo as a real process on a port of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30
"""Seconds that anything may take before the test gives up; nothing takes nearly as long."""


@dataclass
class Demo:
    """A running demo. `output` is complete once it has ended."""

    process: subprocess.Popen[str]
    url: str
    output: str = ""

    @classmethod
    @contextmanager
    def started(cls, *, port: int = 0) -> Iterator[Demo]:
        """A demo for the time inside; interrupted afterwards if it still runs."""
        with subprocess.Popen(
            [sys.executable, "-m", "demo"],
            cwd=ROOT,
            env={**_environment(), "PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            demo = cls(process, _said_url(process))
            try:
                yield demo
            finally:
                if process.poll() is None:
                    demo.interrupt()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port

    def children(self) -> list[int]:
        """The ids of the processes it started."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(child) for child in children.read_text().split()]

    def interrupt(self) -> int:
        """Ctrl-C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.output, _ = self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        return self.process.returncode


def _environment() -> dict[str, str]:
    ours = {"HOST": "127.0.0.1", "PYTHONUNBUFFERED": "1"}
    return {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")} | ours


def _said_url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if found := re.search(r"http://[\w.:\[\]]+", line):
            return found[0]
    raise AssertionError(f"the demo ended before it said where it is:\n{said}")
