"""What is measured: a server in a process of its own, and the accounts of what it spends."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from benchmarks.harness import machine

if TYPE_CHECKING:
    from types import TracebackType

    from benchmarks.peers import Mount

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT = 20.0  # seconds a server may take to listen
SHOWN = 800  # characters of what a server wrote


class BenchmarkError(Exception):
    """A run that measured nothing: the server did not start, or answered wrongly."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a server process is told to be."""

    workload: int
    peer: str
    mount: Mount
    server: str


@dataclass(slots=True)
class Account:
    """Seconds: by the clock, of processor time on either side, and that the server waited for its core.

    Right when its `with` block is over.
    """

    wall: float = 0.0
    server: float = 0.0
    client: float = 0.0
    waited: float = 0.0

    @property
    def client_share(self) -> float:
        """The share of its core that the client was busy: far from 1, it is not what was measured."""
        return self.client / self.wall if self.wall else 0.0

    @property
    def taken_share(self) -> float:
        """The share of the server's core that other programs took: far from 0, it was not measured alone."""
        return self.waited / self.wall if self.wall else 0.0


class Served:
    """Something that listens, and the kernel's account of its process.

    Attributes:
        setting: What it was told to be.
        port: Where it listens.
        pid: Its process.
        total: The sum of its accounts so far.
    """

    def __init__(self, setting: Setting, port: int, pid: int) -> None:
        self.setting = setting
        self.port = port
        self.pid = pid
        self.total = Account()

    @contextmanager
    def account(self) -> Iterator[Account]:
        """What is spent while the block runs."""
        account, before = Account(), self._now()
        yield account
        for name, start, end in zip(("wall", "server", "client", "waited"), before, self._now(), strict=True):
            setattr(account, name, end - start)
            setattr(self.total, name, getattr(self.total, name) + end - start)

    def memory(self) -> float:
        """Resident memory now, in KiB."""
        return machine.resident_kib(self.pid)

    def _now(self) -> tuple[float, float, float, float]:
        return (
            time.monotonic(),
            machine.cpu_seconds(self.pid),
            time.process_time(),
            machine.waited_seconds(self.pid),
        )


class Server(Served):
    """A server in a process of its own; a context manager."""

    def __init__(self, setting: Setting) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed in __exit__)
        port = _free_port()
        self._process = subprocess.Popen(
            _command(setting, port), cwd=ROOT, stdout=self._log, stderr=self._log
        )
        super().__init__(setting, port, self._process.pid)

    def __enter__(self) -> Self:
        try:
            self._await_listening()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        said = self.log()
        if said:  # a peer that logs errors is not doing the work it is measured for
            print(f"{self.setting} wrote:\n{said[:SHOWN]}", file=sys.stderr)
        self._log.close()

    def log(self) -> str:
        """What the process wrote to its output so far."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def _await_listening(self) -> None:
        limit = time.monotonic() + START_LIMIT
        while not _listening(self.port):
            if self._process.poll() is not None or time.monotonic() > limit:
                raise BenchmarkError(f"{self.setting} did not start:\n{self.log()}")
            time.sleep(0.02)

    def _stop(self) -> None:
        self._process.kill()
        self._process.wait()


def _command(setting: Setting, port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "benchmarks.serve"),
        *("--workload", str(setting.workload)),
        *("--peer", setting.peer),
        *("--mount", setting.mount),
        *("--server", setting.server),
        *("--port", str(port)),
        *("--core", str(machine.SERVER_CORE)),
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
