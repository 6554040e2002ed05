"""Ctrl-C, with streams open."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.demo.running import PATIENCE, Demo

ASK = json.dumps({"text": "What is an object?"}).encode()
CHAT = b"POST /chat HTTP/1.1\r\nHost: demo\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
REQUESTS = {
    "/chat": CHAT % (len(ASK), ASK),
    "/export.ndjson": b"GET /export.ndjson HTTP/1.1\r\nHost: demo\r\n\r\n",
    "/feed": b"GET /feed HTTP/1.1\r\nHost: demo\r\n\r\n",
    "/observe": b"GET /observe HTTP/1.1\r\nHost: demo\r\n\r\n",
}


@pytest.fixture
def readers(demo: Demo) -> Iterator[dict[str, socket.socket]]:
    """One client of each stream, which has its first bytes. The export's then reads no more."""
    with ExitStack() as stack:
        clients = {}
        for path, request in REQUESTS.items():
            client = clients[path] = stack.enter_context(socket.create_connection(demo.address, PATIENCE))
            client.sendall(request)
        for path, client in clients.items():
            assert b"200 OK" in client.recv(64), path
        yield clients


def test_ctrl_c_drains_every_open_stream_and_exits_with_0(
    demo: Demo, readers: dict[str, socket.socket]
) -> None:
    assert demo.interrupt() == 0
    assert "Traceback" not in demo.output
    for path in readers:
        (told,) = [line for line in demo.output.splitlines() if f"[{path} " in line]
        assert "drained" in told


def test_a_reader_is_told_that_the_server_goes_away(demo: Demo, readers: dict[str, socket.socket]) -> None:
    demo.interrupt()
    rest = b""
    while data := readers["/feed"].recv(65536):
        rest += data
    assert b"event: error" in rest
    assert rest.endswith(b"0\r\n\r\n")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_the_models_process_ends_with_the_demo(demo: Demo) -> None:
    (model,) = demo.children()
    demo.interrupt()
    assert not Path(f"/proc/{model}").exists()


def test_a_second_run_gets_the_same_port(demo: Demo, readers: dict[str, socket.socket]) -> None:
    demo.interrupt()
    with Demo.started(port=demo.address[1]) as again:
        assert again.url == demo.url
