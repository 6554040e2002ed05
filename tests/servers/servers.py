"""Real servers as real processes: the configurations, and how one is started, awaited and stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parents[2]
READY_WITHIN = 30.0
"""Seconds a server may take until it accepts: imports on a busy two-core machine take a few."""
STOP_WITHIN = 3.0
"""Seconds between SIGTERM and SIGKILL. FACTS: uvicorn and granian wait for ever for open streams."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """One server configuration, and in what it differs from the others.

    Attributes:
        name: in test ids.
        args: after `python -m`.
        http10_chunked: it answers HTTP/1.0 in chunks, which only HTTP/1.1 knows. No header prevents it, only
            what BaseHTTPMiddleware hides.
        http10_cut_hidden: it sends a FIN before it closes, so the reset that would tell a cut on HTTP/1.0
            cannot be had from it.
        reports_within: seconds in which it writes down what an application raised; daphne looks every second.
        half_close_hidden: it does not read while `send()` is blocked: a FIN alone stays in the kernel.
    """

    name: str
    args: tuple[str, ...]
    http10_chunked: bool = False
    http10_cut_hidden: bool = False
    half_close_hidden: bool = False
    reports_within: float = 0.0

    @property
    def package(self) -> str:
        """The package that must be installed."""
        return self.args[0]

    def command(self, app: str, port: int) -> list[str]:
        """The command line that serves `app` ("module:name") on `port` of the loopback."""
        values = {"app": app, "port": str(port), "host": HOST}
        return [sys.executable, "-m", *(arg.format(**values) for arg in self.args)]


def _uvicorn(http: str, loop: str) -> Config:
    options = ("--host", "{host}", "--port", "{port}", "--no-access-log", "--log-level", "warning")
    args = ("uvicorn", "{app}", *options, "--http", http, "--loop", loop)
    chunked = http == "httptools"
    return Config(name=f"uvicorn-{http}-{loop}", args=args, http10_chunked=chunked, half_close_hidden=True)


_HYPERCORN = ("hypercorn", "{app}", "--bind", "{host}:{port}", "--log-level", "warning")
_GRANIAN = (
    "granian",
    "{app}",
    "--interface",
    "asgi",
    "--host",
    "{host}",
    "--port",
    "{port}",
    "--log-level",
    "warning",
)
_DAPHNE = ("daphne", "-b", "{host}", "-p", "{port}", "-v", "0", "{app}")

CONFIGS: tuple[Config, ...] = (
    *(_uvicorn(http, loop) for http in ("h11", "httptools") for loop in ("asyncio", "uvloop")),
    Config(name="hypercorn", args=_HYPERCORN, http10_cut_hidden=True),
    Config(name="granian", args=_GRANIAN),
    Config(name="daphne", args=_DAPHNE, http10_cut_hidden=True, reports_within=1.2),
)


def free_port() -> int:
    """A loopback port that nobody listens on now. Another process could take it before its use."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        port: int = sock.getsockname()[1]
        return port


@dataclass
class Server:
    """A running server process. `output()` is what it wrote so far, for the report of a failure."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path
    config: Config

    @property
    def url(self) -> str:
        """The address without a trailing slash."""
        return f"http://{HOST}:{self.port}"

    def output(self) -> str:
        """Everything the process wrote to stdout and stderr."""
        return self.log.read_text(errors="replace")

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def terminate(self) -> None:
        """SIGTERM to the process."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL after `STOP_WITHIN` seconds to the process group: granian has workers."""
        self.terminate()
        try:
            self.process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def start(config: Config, app: str, log: Path, env: Mapping[str, str] | None = None) -> Server:
    """Start `config` serving `app` and wait until it accepts connections.

    Args:
        config: the server and its options.
        app: "module:name", importable from the root of the repository.
        log: the file that takes the process's output.
        env: variables added to this process's environment.

    Raises:
        RuntimeError: it ended, or did not accept within `READY_WITHIN` seconds; its output is the message.
    """
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            config.command(app, port),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": _python_path(), "PYTHONUNBUFFERED": "1", **(env or {})},
            start_new_session=True,
        )
    server = Server(config.name, port, process, log, config)
    try:
        _await_ready(server)
    except BaseException:
        server.stop()
        raise
    return server


def _python_path() -> str:
    """This process's own import path: the server must import what the tests import."""
    return os.pathsep.join([str(ROOT), *(entry for entry in sys.path if entry)])


def _await_ready(server: Server) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        if not server.alive():
            break
        with contextlib.suppress(OSError), socket.create_connection((HOST, server.port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{server.name} does not accept connections:\n{server.output()}")


@contextlib.contextmanager
def running(config: Config, app: str, log: Path, env: Mapping[str, str] | None = None) -> Iterator[Server]:
    """`start()`, and `stop()` at the end of the block."""
    server = start(config, app, log, env)
    try:
        yield server
    finally:
        server.stop()
