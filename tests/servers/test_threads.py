"""Sources that block: a thread, and nobody else waits, not even the process at its end; or the event loop."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.servers.client import connect, connections
from tests.servers.observer import DEADLINE, get_json
from tests.servers.servers import CONFIGS, Config, Server, running

LEAVERS = 40
"""As many as the threads that anyio has for the endpoints of all of FastAPI."""
EXIT_WITHIN = 5.0
"""Seconds from SIGTERM to the end of a process that nothing holds up: it only bounds a failing test."""

ONE_OF_EACH = [
    config for config in CONFIGS if config.name not in {"uvicorn-h11-uvloop", "uvicorn-httptools-asyncio"}
]

# granian's loop has callbacks from Rust. daphne has no lifespan, so nobody starts the watchdog.
EACH_KIND_OF_LOOP = [config for config in ONE_OF_EACH if config.package in {"uvicorn", "granian"}]


@pytest.fixture(params=ONE_OF_EACH, ids=lambda config: config.name)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server of this test's own, for it will be stopped."""
    config: Config = request.param
    if find_spec(config.package) is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{config.package} is not installed")
    with running(config, "tests.servers.threads_app:app", tmp_path / "server.log") as started:
        yield started


def wait_ended(server: Server, *expected: tuple[str, bool]) -> None:
    """Until these are the endings: each with its outcome, and whether its cleanup was given up."""
    deadline = time.monotonic() + DEADLINE
    while (ended := get_json(server, "/ended")) != [list(each) for each in expected]:
        assert time.monotonic() < deadline, ended
        time.sleep(0.02)


def test_blocked_threads_of_clients_that_left_hold_up_neither_other_endpoints_nor_the_exit(
    server: Server,
) -> None:
    with connections(server, LEAVERS) as clients:
        for number, client in enumerate(clients):
            client.request(f"/blocked/{'event' if number % 2 else 'sleep'}")
        for client in clients:
            client.read_until(b"hello")
        assert get_json(server, "/plain")
        for client in clients:
            client.leave("rst")
    # Had they taken the framework's threads, there would be no answer, for ever.
    assert get_json(server, "/plain")
    wait_ended(server, *[("client_gone", True)] * LEAVERS)
    _see_that_it_still_works(server)
    _see_what_it_said(server)
    with connect(server) as client:  # one more, who is still there at the end
        client.request("/blocked/sleep")
        client.read_until(b"hello")
        _see_that_it_exits(server)


def _see_that_it_still_works(server: Server) -> None:
    with connect(server) as client:
        client.request("/numbers")
        assert client.read_to_end().endswith(b"9\n")
    assert get_json(server, "/plain")


def _see_what_it_said(server: Server) -> None:
    let_go = [line for line in server.output().splitlines() if "its thread is let go" in line]
    assert len(let_go) == LEAVERS
    for function in ("wait_for_ever", "sleep_for_ever"):
        assert sum(f" is still at {function} (" in line for line in let_go) == LEAVERS // 2
    assert any(f"{LEAVERS} let go)" in line for line in let_go)
    assert "Traceback" not in server.output()


def _see_that_it_exits(server: Server) -> None:
    server.terminate()
    server.process.wait(EXIT_WITHIN)
    assert server.process.returncode in {0, -signal.SIGTERM}


@pytest.mark.parametrize("server", EACH_KIND_OF_LOOP, ids=lambda config: config.name, indirect=True)
def test_a_source_that_blocks_the_event_loop_is_named(server: Server) -> None:
    with connect(server) as client:
        client.request("/frozen")
        client.read_until(b"goodbye")
    # The thread and the loop go on at the same time: give the thread its turn.
    deadline = time.monotonic() + DEADLINE
    while "turns again" not in server.output():
        assert time.monotonic() < deadline, server.output()
        time.sleep(0.02)
    (report,) = [line for line in server.output().splitlines() if "has not turned for" in line]
    assert ": freeze (" in report
    assert "threads_app.py:" in report
    wait_ended(server, ("completed", False))
