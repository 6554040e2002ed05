"""Clients that connect and reset, very many of them: the server's process holds what it held before."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.servers.client import Connection, connect
from tests.servers.observer import get_json
from tests.servers.servers import CONFIGS, Server, running

CLIENTS = 8
"""Clients at a time."""
DEADLINE = 10.0
"""Seconds for what takes milliseconds: it only bounds a failing test."""


@pytest.fixture(params=["uvicorn-h11-asyncio", "uvicorn-httptools-uvloop"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server process that only this test knows."""
    if "httptools" in request.param and find_spec("httptools") is None:
        pytest.skip("httptools is not installed")
    config = next(config for config in CONFIGS if config.name == request.param)
    with running(config, "tests.soak.app:app", tmp_path_factory.mktemp("resets") / "server.log") as started:
        yield started


def silent(client: Connection) -> None:
    """Nothing is asked."""


def half_a_request(client: Connection) -> None:
    client.sock.sendall(b"GET /idle HTTP/1.1\r\nhost: te")


def a_request(client: Connection) -> None:
    client.request("/idle")


def a_response(client: Connection) -> None:
    client.request("/idle")
    client.read_until(b"hello")


STAGES = (silent, half_a_request, a_request, a_response)
"""How far a client comes before it resets."""


def reset(server: Server, number: int) -> None:
    with connect(server) as client:
        STAGES[number % len(STAGES)](client)
        client.rst()


def held(server: Server) -> dict[str, Any]:
    """What the process holds; the connection that asks is one of its descriptors, each time."""
    found: dict[str, Any] = get_json(server, "/process")
    found["descriptors"] = sum(1 for _ in Path(f"/proc/{server.process.pid}/fd").iterdir())
    return found


def settled(server: Server, before: dict[str, Any]) -> dict[str, Any]:
    """Wait until tasks, threads and descriptors are as `before`; fails with what they are instead."""
    deadline = time.monotonic() + DEADLINE
    names = ("tasks", "threads", "descriptors", "active")
    while True:
        now = held(server)
        if all(now[name] == before[name] for name in names):
            return now
        assert time.monotonic() < deadline, (before, now)
        time.sleep(0.05)


def check(server: Server, count: int) -> None:
    for number in range(len(STAGES)):  # whatever is made once is made now
        reset(server, number)
    time.sleep(0.1)
    before = held(server)
    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(lambda number: reset(server, number), range(count)))
    now = settled(server, before)
    assert now["sources"]["begun"] == now["sources"]["finished"] >= count // 4
    assert set(now["outcomes"]) == {"client_gone"}
    assert now["outcomes"]["client_gone"] >= now["sources"]["begun"]


def test_a_thousand_resets_leave_nothing_behind(server: Server) -> None:
    check(server, 1_000)


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_ten_thousand_resets_leave_nothing_behind(server: Server) -> None:
    check(server, 10_000)
