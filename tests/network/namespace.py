"""A network of two: this one, with the servers in it, and another, which clients live in and vanish with."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_MTU = 1500
"""A real network's: the window opens in steps of a segment, and on the loopback a segment has 64 KiB."""


class Namespace:
    """A network namespace, joined to this one by a pair of virtual interfaces.

    Attributes:
        server: The address under which servers here are reached from there.
    """

    def __init__(self, number: int) -> None:
        self._name = f"endwell-{os.getpid()}-{number}"
        # A session may have several at a time; an interface has a name of 15 letters at most.
        self._here, self._there = f"ewh{os.getpid()}n{number}", f"ewc{os.getpid()}n{number}"
        subnet = f"10.231.{os.getpid() % 250}"
        self.server, self._client = f"{subnet}.{4 * number + 1}", f"{subnet}.{4 * number + 2}"

    @staticmethod
    def why_not() -> str | None:
        """What is missing here, if something is."""
        if shutil.which("ip") is None or shutil.which("ss") is None:
            return "iproute2 is not installed"
        tried = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
        return None if tried.returncode == 0 and os.geteuid() == 0 else "network namespaces need root"

    def open(self) -> None:
        """Make it."""
        _ip(f"netns add {self._name}")
        peer = f"peer name {self._there} mtu {_MTU} netns {self._name}"
        _ip(f"link add {self._here} mtu {_MTU} type veth {peer}")
        _ip(f"address add {self.server}/30 dev {self._here}")
        _ip(f"link set {self._here} up")
        self.run(f"address add {self._client}/30 dev {self._there}")
        self.run(f"link set {self._there} up")

    def close(self) -> None:
        """Unmake it, and the interfaces with it."""
        for command in (f"link delete {self._here}", f"netns delete {self._name}"):
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip(command)

    def run(self, command: str) -> None:
        """Run an `ip` command inside."""
        _ip(f"-n {self._name} {command}")

    def connect(self, port: int, *, receive_buffer: int | None = None) -> socket.socket:
        """A connection from there to a server here."""
        with self._entered():
            sock = socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(10)
        sock.connect((self.server, port))
        return sock

    @contextlib.contextmanager
    def silenced(self) -> Iterator[None]:
        """Within it, nothing comes out of there any more: not a segment, not an acknowledgement."""
        self.run(f"route add blackhole {self.server}/32")
        try:
            yield
        finally:
            self.run(f"route delete blackhole {self.server}/32")

    @contextlib.contextmanager
    def _entered(self) -> Iterator[None]:
        with (
            Path("/proc/thread-self/ns/net").open(encoding="ascii") as here,
            Path(f"/var/run/netns/{self._name}").open(encoding="ascii") as there,
        ):
            _set_namespace(there.fileno())
            try:
                yield
            finally:
                _set_namespace(here.fileno())


def _set_namespace(descriptor: int) -> None:
    # os.setns is there from Python 3.12 on.
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True, capture_output=True, text=True)
