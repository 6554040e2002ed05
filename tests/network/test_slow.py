"""Clients that do not read, or read slowly: who is cut, who is kept, and that the socket is freed."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.network.conftest import FLEET, SERVERS, ended, eventually, launch
from tests.network.namespace import Namespace
from tests.servers.client import connect
from tests.servers.observer import get_json
from tests.servers.servers import Config, Server

STOPS_WITHIN = 2.5
"""Seconds until a server without streams has ended after SIGTERM."""


def sockets(client: socket.socket, port: int) -> str:
    """What `ss` shows of a connection to the server on `port`, at either end.

    Both ports name it: once it is over, the client's own may at once be that of somebody else's connection.
    """
    ends = (client.getsockname()[1], port)
    wanted = " or ".join(f"( sport = :{one} and dport = :{other} )" for one, other in (ends, ends[::-1]))
    return subprocess.run(["ss", "-Htn", wanted], capture_output=True, check=True, text=True).stdout


@pytest.mark.parametrize("config", SERVERS, ids=lambda config: config.name)
def test_the_socket_of_a_client_that_never_reads_is_freed_and_the_server_stops_at_once(
    config: Config, tmp_path: Path
) -> None:
    server = launch(config, tmp_path)
    try:
        with connect(server, receive_buffer=8192) as client, connect(server, receive_buffer=8192) as other:
            for each, path in ((client, "/big"), (other, "/base/big")):
                each.request(f"{path}?send=1&key={path}")
                each.read_head()
            for path in ("/big", "/base/big"):
                assert ended(server, path, within=5.0)["outcome"] == "slow_client"
            for each in (client, other):
                assert eventually(
                    lambda each=each: not sockets(each.sock, server.port)  # type: ignore[misc]
                ), sockets(each.sock, server.port)
            assert get_json(server, "/report")["active"] == 0  # it lives, and serves others
            server.terminate()
            server.process.wait(STOPS_WITHIN)
        assert "Traceback" not in server.output()
        assert "ERROR" not in server.output()
    finally:
        server.stop()


def _request(client: socket.socket, query: str) -> None:
    client.sendall(f"GET /big?{query} HTTP/1.1\r\nhost: test\r\n\r\n".encode())


def _read_slowly(servers: list[Server], elsewhere: Namespace, send: float) -> None:
    """Read 4.5 kB/s for somewhat longer than the send deadline: the window opens by a segment at a time."""
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(elsewhere.connect(server.port, receive_buffer=4096)) for server in servers
        ]
        for client in clients:
            _request(client, f"send={send}&key=slow{send}")
        until = time.monotonic() + 1.6 * send
        while time.monotonic() < until:
            for client in clients:
                assert client.recv(450)
            time.sleep(0.1)
    for server in servers:
        assert ended(server, f"slow{send}", within=5.0)["outcome"] == "client_gone", server.name


def test_a_reader_that_progresses_is_kept_however_slow(fleet: list[Server], elsewhere: Namespace) -> None:
    _read_slowly([each for each in fleet if each.name.startswith("uvicorn")], elsewhere, send=2.5)


@pytest.mark.prove
def test_a_reader_that_progresses_is_kept_where_its_socket_is_looked_up(
    fleet: list[Server], elsewhere: Namespace
) -> None:
    _read_slowly(fleet, elsewhere, send=6)


@pytest.mark.prove
def test_a_reader_of_4_kbit_per_second_is_kept_with_the_defaults(
    elsewhere: Namespace, tmp_path: Path
) -> None:
    """The kernel alone would cut it after 30 s: see endwell.asgi._patience."""
    server = launch(FLEET[0], tmp_path, vanished=30)
    try:
        with elsewhere.connect(server.port, receive_buffer=4096) as client:
            _request(client, "send=30&key=modem")
            for _ in range(45):
                assert client.recv(512)
                time.sleep(1)
        assert ended(server, "modem", within=5.0)["outcome"] == "client_gone"
    finally:
        server.stop()


def test_a_reader_of_a_byte_per_second_is_cut(fleet: list[Server], elsewhere: Namespace) -> None:
    with contextlib.ExitStack() as stack:
        for server in fleet:
            client = stack.enter_context(elsewhere.connect(server.port, receive_buffer=4096))
            _request(client, "send=1&key=byte")
            assert client.recv(1)
        time.sleep(1)
        for server in fleet:
            assert ended(server, "byte", within=3.0)["outcome"] == "slow_client", server.name


def _stop_for(seconds: float, server: Server, send: float) -> None:
    """Stop a client, and let it go on; its stream must not have ended."""
    before = get_json(server, "/report")["active"]
    command = [
        "curl",
        "--silent",
        "--no-buffer",
        "--limit-rate",
        "2M",
        f"{server.url}/big?send={send}&key=stopped",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as curl:
        time.sleep(0.5)
        curl.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        curl.send_signal(signal.SIGCONT)
        time.sleep(1.0)
        assert curl.poll() is None
        assert get_json(server, "/report")["active"] == before + 1
        curl.kill()
    assert ended(server, "stopped", within=5.0)["outcome"] == "client_gone"


def test_a_client_that_is_stopped_for_a_while_survives(fleet: list[Server]) -> None:
    """For less than both the send deadline and the promise about clients that vanish."""
    _stop_for(1.5, fleet[0], send=3)


@pytest.mark.prove
@pytest.mark.parametrize("config", FLEET, ids=lambda config: config.name)
def test_a_client_that_is_stopped_for_5_s_survives_with_the_defaults(config: Config, tmp_path: Path) -> None:
    server = launch(config, tmp_path, vanished=30)
    try:
        _stop_for(5.0, server, send=30)
    finally:
        server.stop()
