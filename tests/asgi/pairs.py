"""A connection within this process, with both its ends to look at."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Self

from endwell.asgi._follower import Follower
from endwell.asgi._hidden import watch_of
from endwell.types import Scope


class Pair(NamedTuple):
    """The client's end and the server's end of one connection."""

    client: socket.socket
    server: socket.socket

    def scope(self, **more: object) -> Scope:
        """What a server would say of it."""
        return {"client": self.client.getsockname()[:2], "server": self.server.getsockname()[:2], **more}


class Response:
    """A response whose client is watched while the block runs, if it lasts."""

    def __init__(self, client: Follower) -> None:
        self.client = client

    def __enter__(self) -> Self:
        watch = watch_of(asyncio.get_running_loop())
        assert watch is not None
        self._watch = watch
        watch.join(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.part(self)
        self.client.stop()


@contextlib.contextmanager
def listening(family: int = socket.AF_INET) -> Iterator[socket.socket]:
    """A socket that accepts on the loopback."""
    with socket.socket(family) as accepting:
        accepting.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        accepting.listen()
        yield accepting


def connected(accepting: socket.socket) -> Pair:
    """A new connection to a listening socket."""
    client = socket.create_connection(accepting.getsockname()[:2], 5)
    server, _ = accepting.accept()
    server.settimeout(5)
    return Pair(client, server)


@contextlib.contextmanager
def pair(family: int = socket.AF_INET) -> Iterator[Pair]:
    """A connection, both of whose ends are closed afterwards."""
    with listening(family) as accepting:
        ends = connected(accepting)
    with ends.client, ends.server:
        yield ends


def fill(server: socket.socket) -> int:
    """Send until nothing more is taken; how many bytes that were."""
    sent = 0
    server.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            sent += server.send(bytes(65536))
    return sent


def descriptors() -> set[str]:
    """Those of this process."""
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


async def until(condition: Callable[[], object], within: float = 5.0) -> None:
    """Wait, in real time, until the world outside the loop has done something."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - nothing in here is told of it
            await asyncio.sleep(0.005)
