"""A client that vanishes without a word: nothing of it arrives any more, and nobody says why."""

from __future__ import annotations

import contextlib
import functools
import socket
import time

from tests.network.conftest import MARGIN, VANISHED, ended, eventually
from tests.network.namespace import Namespace
from tests.network.test_slow import sockets
from tests.servers.client import connect
from tests.servers.servers import Server


def _start(namespace: Namespace, server: Server, path: str) -> socket.socket:
    client = namespace.connect(server.port)
    client.sendall(f"GET {path}?send=3&key=vanished{path} HTTP/1.1\r\nhost: test\r\n\r\n".encode())
    seen = b""
    while not seen.partition(b"\r\n\r\n")[2]:
        seen += client.recv(65536)
    return client


def _is_freed(namespace: Namespace, client: socket.socket, server: Server) -> bool:
    """Whether the server's end of a connection is gone; the client's own cannot know."""
    return f"{namespace.server}:" not in sockets(client, server.port)


def test_a_client_that_vanishes_is_found_within_the_promise(
    fleet: list[Server], elsewhere: Namespace
) -> None:
    """While nothing is sent at all, while the server sends to it, and while it cannot."""
    outcomes = {"/idle": "client_gone", "/ticking": "client_gone", "/big": "slow_client"}
    paths = tuple(outcomes)
    with contextlib.ExitStack() as stack:
        clients = [
            (stack.enter_context(_start(elsewhere, server, path)), server)
            for server in fleet
            for path in paths
        ]
        time.sleep(0.2)
        stack.enter_context(elsewhere.silenced())
        began = time.monotonic()
        for server in fleet:
            for path in paths:
                ending = ended(server, f"vanished{path}", within=VANISHED + MARGIN)
                assert ending["outcome"] == outcomes[path], (server.name, path)
                assert 1.0 < ending["at"] - began < VANISHED + MARGIN, (server.name, path)
        for client, server in clients:
            assert eventually(functools.partial(_is_freed, elsewhere, client, server))


def test_the_log_says_once_what_the_kernel_was_told(fleet: list[Server]) -> None:
    for server in fleet:
        said = f"port {server.port}: clients that vanish are found within 4 s"
        for _ in range(2):
            with connect(server) as client:
                client.request("/short")
                client.read_to_end()
        assert eventually(lambda said=said, server=server: said in server.output())  # type: ignore[misc]
        assert server.output().count(said) == 1
