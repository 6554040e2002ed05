"""How the tests read through a proxy, and what they hand in as measured."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from tests.servers import observer
from tests.servers.client import Connection, connect
from tests.servers.servers import Server

MEASURED = "measured_through_proxies"
"""The `record_property` name under which `measure` hands in."""
GZIP = (("accept-encoding", b"gzip"),)
"""As browsers and SDKs ask: whoever may compress, will."""
AT_ONCE = 2.0
"""Seconds that "at once" may take on a busy machine: what it took is measured, not asserted."""


class Observer(observer.Observer):
    """One test's view of the backend, of which only its own streams matter: others may be idle for long."""

    def active(self) -> list[str]:
        """The ids of this test's live streams."""
        return [record["stream"] for record in self.records() if record["stream"] and not record["endings"]]

    def stop_all(self) -> None:
        """End what is still live."""
        for stream in self.active():
            self.stop(stream)


class Measure(Protocol):
    """Takes measured values for the table at the end."""

    def __call__(self, what: str, variant: str, values: list[float], unit: str = "ms") -> None: ...


@contextmanager
def reading(
    proxy: Server, observer: Observer, target: str, key: object = 0, **query: object
) -> Iterator[Connection]:
    """A connection on which `target` was asked for, with `query` beside the tag and the key."""
    with connect(proxy) as client:
        client.request(path(observer, target, key, **query), headers=GZIP)
        yield client


def path(observer: Observer, target: str, key: object = 0, **query: object) -> str:
    """The request target, with `query` beside the tag and the key."""
    return observer.path(target, key) + "".join(f"&{name}={value}" for name, value in query.items())


def ms_until(client: Connection, marker: bytes) -> float:
    """Milliseconds from now until `marker` has arrived."""
    begun = time.monotonic()
    client.sock.settimeout(AT_ONCE)
    client.read_until(marker)
    return (time.monotonic() - begun) * 1e3
