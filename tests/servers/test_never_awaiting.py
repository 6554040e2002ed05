"""A source that never awaits freezes nothing: not while its client reads, and not after it left."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.servers.client import Connection, connect
from tests.servers.observer import Observer

QUESTIONS = 5
"""Requests that must be answered while the source spins; each has `client.TIMEOUT` seconds."""


@contextmanager
def _reading(client: Connection) -> Iterator[None]:
    """Read in a thread, for as long as the block runs."""
    stop = threading.Event()

    def read() -> None:
        with suppress(OSError):
            while not stop.is_set() and client.sock.recv(1 << 20):
                pass

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("prefix", ["", "/base"])
@pytest.mark.parametrize("source", ["/sse/spin", "/ndjson/spin_sync"])
@pytest.mark.parametrize("how", ["fin", "rst"])
def test_a_source_that_never_awaits_freezes_nothing(
    observer: Observer, prefix: str, source: str, how: str
) -> None:
    with connect(observer.server) as client:
        client.request(observer.path(prefix + source))
        client.read_until(b"tick")
        with _reading(client):
            for _ in range(QUESTIONS):
                assert len(observer.active()) == 1
        client.leave(how)
        (record,) = observer.wait_ended(1, "client_gone")
    assert record["left"] == "GeneratorExit"
    assert observer.active() == []
