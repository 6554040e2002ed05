"""Clients that ask for a long query and leave, and what a test may ask afterwards."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Any

from tests.servers.client import Closed, connect
from tests.servers.observer import get_json
from tests.servers.servers import Server

DEADLINE = 25.0
"""Seconds for what takes milliseconds, and 10 s or 15 s where PostgreSQL loses a request to cancel."""
CLIENTS = 16
"""Clients at a time: four times as many as a pool has connections."""

_numbers = count()


def new_key(what: str) -> str:
    """A key that no other request has."""
    return f"{what}-{next(_numbers)}-"


def eventually(what: str, get: Callable[[], Any], expected: Callable[[Any], bool]) -> Any:
    """Poll `get()` until it is as `expected`; fails with it after `DEADLINE` seconds."""
    deadline = time.monotonic() + DEADLINE
    while not expected(found := get()):
        assert time.monotonic() < deadline, f"not {what} after {DEADLINE} s: {str(found)[-2000:]}"
        time.sleep(0.002)
    return found


@dataclass(frozen=True)
class Leaver:
    """A client that leaves `after` seconds, in one of the ways of `Connection.leave`.

    Attributes:
        reads: The seconds count from the response's beginning, not from the request.
    """

    path: str
    after: float
    how: str
    reads: bool

    def visit(self, server: Server) -> None:
        """Ask, wait, leave."""
        with connect(server, receive_buffer=4096) as client:
            client.request(self.path)
            if self.reads:
                client.read_head()
            time.sleep(self.after)
            client.leave(self.how)


def leave(server: Server, paths: list[str], *, within: float, silent: Collection[str]) -> None:
    """Ask for all `paths`, some at a time; each client leaves at some moment `within` seconds.

    Half of them begin to count when the response begins, but for paths that hold one of `silent`.
    """
    fate = random.Random(len(paths))
    leavers = [
        Leaver(
            path,
            after=fate.uniform(0, within),
            how=fate.choice(["fin", "rst"]),
            reads=fate.random() < 1 / 2 and not any(word in path for word in silent),
        )
        for path in paths
    ]
    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(lambda leaver: leaver.visit(server), leavers))


def settled(server: Server, prefix: str) -> list[dict[str, Any]]:
    """Wait until no stream is alive; the records of the sources that had started."""

    def is_settled(summary: dict[str, Any]) -> bool:
        return not summary["active"] and not summary["open"]

    eventually("settled", lambda: get_json(server, f"/summary?prefix={prefix}&only_open=true"), is_settled)
    records: list[dict[str, Any]] = get_json(server, f"/summary?prefix={prefix}")["records"]
    return records


def read_all(server: Server, path: str) -> bytes:
    """The whole body of a response.

    Raises:
        Closed: It was cut.
    """
    with connect(server) as client:
        client.request(path)
        body = client.read_to_end()
        if not client.complete:
            raise Closed(path)
        return body
