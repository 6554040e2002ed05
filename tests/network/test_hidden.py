"""A client whose FIN the server does not read: a second request lies before it, or the server has stopped."""

from __future__ import annotations

import contextlib
import time

import pytest

from tests.network.conftest import ended
from tests.servers.client import Connection, connect
from tests.servers.observer import get_json
from tests.servers.servers import Server

WATCHED_AFTER = 1.5
"""Seconds: enough for a stream to be watched, 0.2 s on uvicorn, 0.7 s where its socket is looked up."""
AT_ONCE = 1.0
"""Seconds within which what takes milliseconds has happened on a busy machine."""


def _start(server: Server, path: str) -> Connection:
    client = connect(server, receive_buffer=8192)
    client.request(f"{path}?key={path}")
    client.read_head()
    if "big" not in path:
        client.read_until(b"chunk")
        client.request(f"{path}?key=pipelined")
    return client


@pytest.mark.parametrize("prefix", ["", "/base"])
def test_a_hidden_fin_is_noticed_at_once(fleet: list[Server], prefix: str) -> None:
    """Idle, active and blocked, on every server."""
    paths = [prefix + path for path in ("/idle", "/ticking", "/big")]
    with contextlib.ExitStack() as stack:
        clients = [
            (server, path, stack.enter_context(_start(server, path))) for server in fleet for path in paths
        ]
        time.sleep(WATCHED_AFTER)
        left = [(server, path, client.half_close()) for server, path, client in clients]
        for server, path, at in left:
            ending = ended(server, path, within=5.0)
            assert ending["outcome"] == "client_gone", (server.name, path)
            assert ending["at"] - at / 1e9 < AT_ONCE, (server.name, path)


def test_a_connection_that_is_kept_serves_the_next_stream(fleet: list[Server]) -> None:
    """The watch over the first stream on it has ended with that, and costs nothing any more."""
    for server in fleet:
        before = get_json(server, "/report")["descriptors"]
        with connect(server) as client:
            client.request("/short?key=short")
            client.read_to_end()
            assert client.complete
            client.start_over()
            client.request("/idle?key=second")
            client.read_until(b"chunk")
        assert ended(server, "second", within=5.0)["outcome"] == "client_gone"
        assert get_json(server, "/report")["descriptors"] <= before
