"""One repetition of one act: a client, its source, and what both are known to have done."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from uuid import uuid4

from matrix.clients import SPEAKING, Client
from matrix.journal import Journal, Record
from matrix.network import FarEnd, Link
from matrix.servers import Served
from matrix.sockets import Address, Open, look_up
from tests.servers.client import TIMEOUT
from tests.servers.servers import HOST, Server

LEAST_BUFFER = 2304
"""The smallest receive buffer that Linux grants (SOCK_MIN_RCVBUF): a slow reader's progress shows often."""
SMALL_SEGMENT = 536
"""For the same reason; the loopback's own segments have 64 KiB."""
BLOCKED_AFTER = 0.25
"""Seconds without a chunk after which a source that gives one every 10 ms is blocked."""


class Unmeasured(Exception):
    """The act could not be done: what the cell says instead of a figure."""


@dataclass
class Stage:
    """A running server, and the ways to it. Without `far`, `no_far` says why."""

    served: Served
    server: Server
    journal: Journal
    far: FarEnd | None
    no_far: str | None


@dataclass
class Scene:
    """What an act is played in. Closes its clients at the end of the block.

    Attributes:
        key: names the source in the journal.
        local: the server's end of the connection that is watched, remote: the client's.
        meanwhile: what the client goes on doing, called often; must not wait. `Closed` ends it.
        complaint: asked at the end by acts that something must survive: what is wrong, or None.
    """

    stage: Stage
    key: str = field(default_factory=lambda: uuid4().hex)
    local: Address = ("", 0)
    remote: Address = ("", 0)
    meanwhile: Callable[[], None] = lambda: None
    complaint: Callable[[], str | None] = lambda: None
    stack: ExitStack = field(default_factory=ExitStack)
    _client: Client | None = None
    _link: Link | None = None

    @property
    def client(self) -> Client:
        """The client that was opened last."""
        assert self._client is not None
        return self._client

    @property
    def record(self) -> Record:
        """What is known of the source by now."""
        return self.stage.journal.record(self.key)

    def target(self, source: str) -> str:
        """The request target of this scene's source."""
        return f"/{source}?key={self.key}"

    def connect(self, *, small: bool = False, far: bool = False, slow: bool = False) -> Client:
        """Open a connection, of a client that takes little at a time, can be cut off, or has a slow line."""
        sock, host = self._socket(far=far or slow, slow=slow)
        if small:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LEAST_BUFFER)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SMALL_SEGMENT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else an act may wait for a late ACK
        sock.settimeout(TIMEOUT)
        sock.connect((host, self.stage.server.port))
        self._client = client = SPEAKING[self.stage.served.http](sock)
        self.stack.callback(client.close)
        self.watch((host, self.stage.server.port), client.address)
        return client

    def watch(self, local: Address, remote: Address) -> None:
        """Say which connection it is about.

        Raises:
            Unmeasured: the kernel does not know it, so it could not tell its end either.
        """
        self.local, self.remote = local, remote
        if self.server_socket() is None:
            raise Unmeasured("the kernel's socket diagnosis does not show an open connection")

    def server_socket(self) -> Open | None:
        """The server's socket, while there is one."""
        return look_up(self.local, self.remote)

    def get(self, source: str, **options: bool) -> Client:
        """Connect as `connect` does, ask for `source`, and read its first chunk."""
        client = self.connect(**options)
        client.request(self.target(source))
        client.read_first()
        return client

    def get_unread(self, source: str, *, slow: bool = False) -> Client:
        """Connect, with little room for what comes, ask for `source`, and read nothing."""
        client = self.connect(small=not slow, slow=slow)
        client.request(self.target(source))
        return client

    def cut(self) -> int:
        """Drop everything between the far client and the server; when, in monotonic ns."""
        assert self.stage.far is not None
        assert self._link is not None
        return self.stage.far.cut(self._link)

    def wait(self, what: str, until: Callable[[Record], bool], seconds: float = 5.0) -> None:
        """Until `until(record)`.

        Raises:
            Unmeasured: not within `seconds`.
        """
        limit = time.monotonic() + seconds
        while not until(self.record):
            if time.monotonic() > limit:
                raise Unmeasured(f"not {what} within {seconds:.0f} s")
            time.sleep(0.005)

    def wait_blocked(self) -> None:
        """Until the source has given its last chunk some time ago: `send` waits for the client."""
        self.wait("blocked", lambda record: _since(record.chunk) > BLOCKED_AFTER)

    def _socket(self, *, far: bool, slow: bool) -> tuple[socket.socket, str]:
        if not far:
            return socket.socket(), HOST
        assert self.stage.far is not None
        self._link = self.stage.far.link(slow=slow)
        return self.stage.far.socket(), self._link.server


def _since(at: int | None) -> float:
    return 0.0 if at is None else (time.monotonic_ns() - at) / 1e9
