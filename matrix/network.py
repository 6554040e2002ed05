"""A network of our own: servers on all its addresses, and a far end whose packets can be dropped.

The whole program runs in a private network namespace, so that nobody else reaches the servers. The far end
is a second namespace, with a virtual cable for each client. To cut a client off, both ends of its cable are
told a wrong hardware address for the other: frames still go out, nobody takes them, and no error comes back,
as with a phone out of reach.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

INSIDE = "MATRIX_NAMESPACE"
"""Set in the environment of the program that runs in the private namespace."""
NOBODY = "02:00:00:00:00:01"
SLOW = ("rate", "4kbit", "burst", "1600", "limit", "32000")
"""A token bucket: one packet at once, 32 kB in its queue."""
CLONE_NEWNET = 0x40000000
READY_WITHIN = 5.0


def move_inside(arguments: Sequence[str]) -> str | None:
    """Start this program anew in a private network namespace; does not return if that worked.

    Returns:
        None inside it; else why there is none.
    """
    if os.environ.get(INSIDE):
        _run("ip", "link", "set", "lo", "up")
        return None
    unshare = ["unshare", "--net", *(() if os.geteuid() == 0 else ("--map-root-user",))]
    reason = _why_not(unshare)
    if reason is None:
        command = [*unshare, sys.executable, "-m", "matrix", *arguments]
        os.execvpe(unshare[0], command, {**os.environ, INSIDE: "1"})
    return reason


def _why_not(unshare: Sequence[str]) -> str | None:
    missing = [tool for tool in ("ip", "tc", "unshare", "nsenter") if shutil.which(tool) is None]
    if missing:
        return f"needs {', '.join(missing)} (Debian: iproute2, util-linux)"
    works = subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode == 0
    return None if works else "needs root, or user namespaces"


@dataclass(frozen=True)
class Link:
    """One client's own cable to the server; `number` tells it from others."""

    number: int

    @property
    def server(self) -> str:
        """The address of the server's end."""
        return f"10.77.{self.number}.1"

    @property
    def client(self) -> str:
        """The address of the client's end."""
        return f"10.77.{self.number}.2"

    @property
    def near(self) -> str:
        """The device at the server's end."""
        return f"near{self.number}"

    @property
    def far(self) -> str:
        """The device at the client's end."""
        return f"far{self.number}"


class FarEnd:
    """The namespace that black-holed clients live in; a context manager."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._links = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        self._stack.callback(self._holder.wait)
        self._stack.callback(self._holder.kill)
        self._namespace = Path(f"/proc/{self._holder.pid}/ns/net")
        self._await_namespace()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()  # the cables go with the namespace, and that with its only process

    def link(self, *, slow: bool = False) -> Link:
        """A new way to the server; a slow one takes 4 kbit/s in the client's direction."""
        with self._lock:
            self._links += 1
            link = Link(self._links)
        pid = str(self._holder.pid)
        _run("ip", "link", "add", link.near, "type", "veth", "peer", "name", link.far, "netns", pid)
        for run, device, address in ((_run, link.near, link.server), (self._run_far, link.far, link.client)):
            run("ip", "address", "add", f"{address}/24", "dev", device)
            run("ip", "link", "set", device, "up")
        if slow:
            _run("tc", "qdisc", "add", "dev", link.near, "root", "tbf", *SLOW)
        return link

    def socket(self) -> socket.socket:
        """A socket that lives at the far end."""
        with Path("/proc/thread-self/ns/net").open("rb") as here, self._namespace.open("rb") as there:
            _enter(there.fileno())
            try:
                return socket.socket()
            finally:
                _enter(here.fileno())

    def cut(self, link: Link) -> int:
        """Drop everything on `link` in both directions; when, in monotonic ns."""
        now = time.monotonic_ns()
        _misdirect(_run, link.client, link.near)
        _misdirect(self._run_far, link.server, link.far)
        return now

    def _run_far(self, *command: str) -> None:
        _run("nsenter", f"--net={self._namespace}", *command)

    def _await_namespace(self) -> None:
        own, limit = Path("/proc/self/ns/net").stat().st_ino, time.monotonic() + READY_WITHIN
        while self._namespace.stat().st_ino == own:
            if time.monotonic() > limit:
                raise TimeoutError("unshare made no namespace")
            time.sleep(0.01)


def _misdirect(run: Callable[..., None], address: str, device: str) -> None:
    run("ip", "neighbour", "replace", address, "lladdr", NOBODY, "nud", "permanent", "dev", device)


def _enter(namespace: int) -> None:
    """Have the calling thread make its sockets in `namespace`. `os.setns` is there from Python 3.12 on."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
