"""A client in a process of its own, which can be stopped: reads as fast as it can, and says how much."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from types import TracebackType
from typing import Self

from matrix.clients import SPEAKING, Client
from matrix.sockets import Address
from tests.servers.client import TIMEOUT, Closed
from tests.servers.servers import HOST, ROOT

BUFFER = 65536
"""Of the socket, so that it is full soon after a stop."""
GOING_ON = 1_000_000
"""Bytes that a client which goes on has received at least: more than waited for it in its own buffer."""


class Reader:
    """The process, seen from the outside; a context manager.

    Attributes:
        address: its end of the connection.
    """

    def __init__(self, http: int, port: int, target: str) -> None:
        command = [sys.executable, "-m", "matrix.clients.reader", str(http), str(port), target]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
        assert self._process.stdout is not None
        self._output = self._process.stdout
        self.address: Address = (HOST, int(self._output.readline()))
        os.set_blocking(self._output.fileno(), False)
        self._received = 0
        self._before: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._output.close()

    def stop(self) -> None:
        """SIGSTOP."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT, the first time."""
        if self._before is None:
            self._before = self._look()
            self._process.send_signal(signal.SIGCONT)

    def complaint(self) -> str | None:
        """What is wrong after it went on; None if nothing is."""
        more = self._look() - (self._before or 0)
        return None if more >= GOING_ON else f"only {more} bytes after it went on"

    def _look(self) -> int:
        lines = (self._output.read() or b"").split()
        if lines:
            self._received = int(lines[-1])
        return self._received


def main() -> None:
    """Read until the end or the kill; a line for the port, then the count of bytes, again and again."""
    http, port, target = sys.argv[1:]
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        sock.settimeout(TIMEOUT)
        sock.connect((HOST, int(port)))
        client = SPEAKING[int(http)](sock)
        print(client.address[1], flush=True)
        client.request(target)
        with contextlib.suppress(Closed):
            _read(client)


def _read(client: Client) -> None:
    shown = 0
    while True:
        select.select([client.sock], [], [])
        client.take(BUFFER)
        if client.received - shown >= BUFFER:
            shown = client.received
            print(shown, flush=True)


if __name__ == "__main__":
    main()
