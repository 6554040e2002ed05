"""The demo as a real process, and a headless Chromium to look at it with."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.demo.running import PATIENCE, ROOT, Demo


@pytest.fixture
def demo() -> Iterator[Demo]:
    """A demo of the test's own."""
    with Demo.started() as running:
        yield running


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    """The address of a model's process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-m", "demo.upstream", "--fd", str(listener.fileno())]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, pass_fds=[listener.fileno()])
        port = listener.getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Chromium. Without it the test is skipped, but fails in CI, where it has to be there."""
    if path := shutil.which("chromium") or shutil.which("chromium-browser"):
        return path
    missing = "needs a Chromium: apt-get install -y chromium (Debian's package `chromium`)"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)
