"""The kernel's own account of a connection."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator

import pytest

from matrix.sockets import look_up

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux's socket diagnosis")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection over the loopback: the server's end, and the client's."""
    listener = socket.create_server(("127.0.0.1", 0))
    with listener, socket.create_connection(listener.getsockname()) as client:
        server, _ = listener.accept()
        with server:
            yield server, client


Pair = tuple[socket.socket, socket.socket]


def test_an_open_connection_is_shown_from_both_ends(pair: Pair) -> None:
    server, client = pair
    for one, other in (pair, (client, server)):
        assert look_up(one.getsockname(), other.getsockname()) is not None


def test_what_the_peer_has_not_acknowledged_is_counted(pair: Pair) -> None:
    server, client = pair
    server.setblocking(False)
    sent = server.send(b"x" * 10_000_000)
    found = look_up(server.getsockname(), client.getsockname())
    assert found is not None
    assert 0 < found.unsent <= sent


def test_a_reset_connection_is_gone(pair: Pair) -> None:
    server, client = pair
    local, remote = server.getsockname(), client.getsockname()
    server.send(b"unread")
    client.close()  # with something unread: a reset
    assert look_up(local, remote) is None


def test_a_connection_is_not_gone_while_one_end_is_open(pair: Pair) -> None:
    server, client = pair
    client.shutdown(socket.SHUT_WR)
    assert look_up(server.getsockname(), client.getsockname()) is not None


def test_the_memory_of_a_connection_is_no_connection(pair: Pair) -> None:
    server, client = pair
    local, remote = server.getsockname(), client.getsockname()
    server.close()
    assert client.recv(1) == b""
    client.close()
    assert look_up(local, remote) is None  # TIME-WAIT
