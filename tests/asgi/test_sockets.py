"""Reaching below the server: the connection's own socket."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from endwell import ByteStream, Outcome, current_stream
from endwell.asgi import _sockets
from endwell.types import Scope
from tests.asgi.pairs import fill
from tests.engine.scene import QUIET, Visit
from tests.peer import Peer

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6], ids=["ipv4", "ipv6"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """A connection's two ends: the client's and the server's."""
    address = "127.0.0.1" if request.param == socket.AF_INET else "::1"
    with closing(socket.socket(request.param)) as listening, closing(socket.socket(request.param)) as client:
        try:
            listening.bind((address, 0))
        except OSError:
            pytest.skip("no such addresses here")
        listening.listen()
        client.connect(listening.getsockname()[:2])
        server, _ = listening.accept()
        client.settimeout(5)
        with closing(server):
            yield client, server


def descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def scope_of(pair: Pair, *, ports_as_text: bool = False) -> Scope:
    port = str if ports_as_text else int
    (host, number), (server_host, server_number) = (end.getsockname()[:2] for end in pair)
    return {"client": (host, port(number)), "server": (server_host, port(server_number))}


@pytest.mark.parametrize("ports_as_text", [False, True])
def test_a_hung_up_connection_ends_for_its_client_and_costs_no_descriptor(
    pair: Pair, ports_as_text: bool
) -> None:
    before = descriptors()
    assert _sockets.hang_up(scope_of(pair, ports_as_text=ports_as_text))
    assert pair[0].recv(1) == b""
    assert descriptors() == before


def test_a_connection_that_is_to_be_reset_is_reset_when_the_server_closes_it(pair: Pair) -> None:
    assert _sockets.reset_on_close(scope_of(pair))
    pair[1].close()
    with pytest.raises(ConnectionResetError):
        pair[0].recv(1)


def test_a_connection_that_its_client_has_reset_is_still_found(pair: Pair) -> None:
    """By then, who it was is not known to getpeername any more; the server may not have read of it yet."""
    scope = scope_of(pair)
    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    pair[0].close()
    with pytest.raises(OSError, match="not connected"):
        pair[1].getpeername()
    address = _sockets.address_of(scope)
    assert address is not None
    assert _sockets.scan().connections[address] == pair[1].fileno()


def test_only_the_right_connection_is_touched(pair: Pair) -> None:
    scope = scope_of(pair)
    host, number = scope["client"]
    assert not _sockets.hang_up({**scope, "client": (host, number + 1)})
    assert not _sockets.hang_up({**scope, "server": (host, 1)})
    pair[1].send(b"x")
    assert pair[0].recv(1) == b"x"


@pytest.mark.parametrize(
    "scope",
    [
        {},
        {"client": None, "server": None},
        {"client": ("192.0.2.1", 1), "server": None},
        {"client": ("192.0.2.1", 1), "server": ("/run/app.sock", None)},
        {"client": ["testclient", 50000], "server": ["testserver", 80]},
    ],
)
def test_a_connection_that_is_not_there_is_not_found(scope: Scope) -> None:
    assert not _sockets.hang_up(scope)
    assert not _sockets.reset_on_close(scope)


def test_without_a_proc_file_system_nothing_is_found(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(_sockets, "_DESCRIPTORS", tmp_path / "none")
    assert not _sockets.hang_up(scope_of(pair))


def test_a_connection_that_is_reset_already_harms_nobody(pair: Pair) -> None:
    scope = scope_of(pair)
    assert _sockets.reset_on_close(scope)
    pair[1].shutdown(socket.SHUT_RDWR)
    _sockets.hang_up(scope)


# -- what the client has not taken ---------------------------------------------------------------------------


def test_a_connection_is_empty_until_its_client_does_not_read_and_again_when_it_has(pair: Pair) -> None:
    client, server = pair
    assert _sockets.is_empty(server.fileno())
    left = fill(server)
    assert not _sockets.is_empty(server.fileno())
    while left:
        left -= len(client.recv(left))
    while not _sockets.is_empty(server.fileno()):
        select.select([], [], [], 0.001)  # its acknowledgement is on its way
    assert _sockets.is_empty(client.fileno())


def test_what_has_arrived_unread_is_the_clients_and_leaves_the_connection_empty(pair: Pair) -> None:
    pair[1].send(b"x")
    while not _sockets.is_empty(pair[1].fileno()):
        select.select([], [], [], 0.001)
    assert pair[0].recv(1) == b"x"


def test_of_what_is_no_connection_it_is_not_said_that_it_is_empty(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        assert not _sockets.is_empty(file.fileno())
        gone = file.fileno()
    assert not _sockets.is_empty(gone)


# -- through a stream ----------------------------------------------------------------------------------------


async def talk_and_stop() -> AsyncIterator[bytes]:
    yield b"one"
    await asyncio.sleep(1)
    current_stream().stop()
    yield b"never"


@pytest.mark.may_block
async def test_daphnes_connection_is_hung_up_and_nothing_is_raised(pair: Pair) -> None:
    visit = Visit(talk_and_stop(), ByteStream, asgi={"version": "3.0"})
    visit.scope.update(scope_of(pair))
    ending = await visit.ending()
    assert ending.outcome is Outcome.STOPPED
    assert pair[0].recv(1) == b""
    assert await visit.over() is None


@pytest.mark.may_block
async def test_an_http_1_0_body_is_cut_by_a_reset(pair: Pair) -> None:
    peer = Peer(ByteStream(talk_and_stop(), policy=QUIET), http_version="1.0")
    peer.scope.update(scope_of(pair))
    await peer.over()
    pair[1].close()
    with pytest.raises(ConnectionResetError):
        pair[0].recv(1)
