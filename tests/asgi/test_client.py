"""The socket below a response: what it has taken, and freeing it at once."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import os
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeAlias

import pytest
from starlette.middleware.base import _CachedRequest

from endwell.asgi import _client, _lookup
from endwell.asgi._client import ClientSocket
from endwell.asgi._pump import Pump
from endwell.asgi._sockets import Address
from endwell.types import Message, Receive, Scope
from tests.asgi.pairs import Pair, connected, descriptors, fill, listening, pair, until

pytestmark = pytest.mark.real_time

Reach: TypeAlias = Callable[[Pair], contextlib.AbstractAsyncContextManager[ClientSocket]]


class Cycle:
    """uvicorn's cycle, as far as it is looked at."""

    def __init__(self, transport: asyncio.Transport, scope: Scope | None = None) -> None:
        self.transport = transport
        self.scope = scope or {}
        self.disconnected = False

    async def receive(self) -> Message:
        raise AssertionError


Cycle.__module__ = "uvicorn.protocols.http.h11_impl"


async def nobody() -> Message:
    raise AssertionError


class Leaving:
    """A process that goes away when told to."""

    going = False

    def is_going(self) -> bool:
        return self.going


@contextlib.asynccontextmanager
async def through_the_transport(ends: Pair) -> AsyncIterator[ClientSocket]:
    loop = asyncio.get_running_loop()
    own = socket.socket(fileno=os.dup(ends.server.fileno()))
    ends.server.close()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=own)
    transport.pause_reading()
    yield ClientSocket({}, Cycle(transport).receive)
    transport.abort()
    await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def by_look_up(ends: Pair) -> AsyncIterator[ClientSocket]:
    client = ClientSocket(ends.scope(), nobody)
    known = asyncio.get_running_loop().create_future()
    client.locate(known.set_result)
    assert await known == ends.server.fileno()
    yield client


def read_to_end(client: socket.socket) -> None:
    while client.recv(65536):
        pass


reached = pytest.mark.parametrize("reach", [through_the_transport, by_look_up])


@reached
async def test_what_the_client_has_taken_is_counted(reach: Reach) -> None:
    with pair() as ends:
        ends.server.send(bytes(1000))
        assert ends.client.recv(1000)
        async with reach(ends) as client:
            assert client.taken() == 1000


@reached
async def test_what_waits_in_the_kernel_is_not_taken(reach: Reach) -> None:
    with pair() as ends:
        sent = fill(ends.server)
        async with reach(ends) as client:
            first = client.taken()
            assert first is not None
            assert first < sent
            ends.client.recv(sent // 2)
            await until(lambda: (client.taken() or 0) > first)


@reached
async def test_an_aborted_connection_is_reset_and_what_waits_in_it_is_dropped(reach: Reach) -> None:
    with pair() as ends:
        fill(ends.server)
        async with reach(ends) as client:
            client.abort()
            client.abort()
            await asyncio.sleep(0)
        with pytest.raises(ConnectionResetError):
            read_to_end(ends.client)


async def test_a_server_learns_of_the_abort_as_of_a_clients_reset() -> None:
    with pair() as ends:
        async with by_look_up(ends) as client:
            client.abort()
            with pytest.raises(ConnectionResetError):
                ends.server.recv(1)


async def test_a_connection_nobody_has_asked_for_is_looked_up_to_be_aborted() -> None:
    with pair() as ends:
        before = descriptors()
        ClientSocket(ends.scope(), nobody).abort()
        with pytest.raises(ConnectionResetError):
            await asyncio.to_thread(ends.server.recv, 1)
        await until(lambda: descriptors() <= before)


async def test_uvicorn_is_told_of_the_abort() -> None:
    """An application that returns now has not broken off."""
    with pair() as ends:
        async with through_the_transport(ends) as client:
            cycle: Any = client._receive.__self__  # type: ignore[attr-defined]
            client.abort()
            assert cycle.disconnected


class Forgetful(asyncio.Transport):
    """As asyncio's transport of TLS: aborted, it does not know its socket any more."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__()
        self._connection: socket.socket | None = connection

    def get_extra_info(self, name: str, default: object = None) -> socket.socket:
        if self._connection is None:
            raise AttributeError("'NoneType' object has no attribute '_get_extra_info'")
        return self._connection

    def abort(self) -> None:
        assert self._connection is not None
        self._connection.close()
        self._connection = None


async def test_an_aborted_connection_is_nowhere() -> None:
    with pair() as ends:
        client = ClientSocket({}, Cycle(Forgetful(ends.server)).receive)
        assert client.taken() == 0
        client.abort()
        assert client.descriptor() is None
        assert client.taken() is None


# -- beneath middlewares -------------------------------------------------------------------------------------


def closure(below: Receive) -> Receive:
    def wrap(receive: Receive) -> Receive:
        async def listening_too() -> Message:
            return await receive()

        return listening_too

    return wrap(below)


def cached_request(below: Receive) -> Receive:
    return _CachedRequest({"type": "http"}, below, nothing).wrapped_receive


def pump(below: Receive) -> Receive:
    return Pump(below).receive


async def nothing(message: Message) -> None:
    raise AssertionError


@pytest.mark.parametrize(
    "layers", [[closure], [cached_request, closure], [pump, cached_request, closure, pump]]
)
async def test_uvicorns_transport_is_seen_beneath_middlewares(
    layers: list[Callable[[Receive], Receive]],
) -> None:
    with pair() as ends:
        headers = [(b"host", b"test")]
        receive: Receive = Cycle(Forgetful(ends.server), {"headers": headers}).receive
        for layer in layers:
            receive = layer(receive)
        client = ClientSocket({"headers": headers}, receive)
        assert client.descriptor() == ends.server.fileno()
        assert not client.hang_up()  # what a middleware holds back would be lost


@pytest.mark.parametrize("layer", [closure, functools.partial, lambda _: nobody])
async def test_another_requests_transport_is_not_taken(layer: Callable[[Receive], Receive]) -> None:
    with pair() as ends:
        receive = layer(Cycle(Forgetful(ends.server), {"headers": [(b"host", b"test")]}).receive)
        assert ClientSocket({"headers": [(b"host", b"test")]}, receive).descriptor() is None


async def test_uvicorn_is_told_of_a_connection_that_is_lost_already() -> None:
    with pair() as ends:
        cycle = Cycle(Forgetful(ends.server))
        client = ClientSocket({}, cycle.receive)
        client.settle()
        assert not cycle.disconnected
        ends.server.close()
        client.settle()
        assert cycle.disconnected


@pytest.mark.parametrize("version", ["2", "3"])
async def test_a_connection_that_others_use_is_left_alone(version: str) -> None:
    with pair() as ends:
        client = ClientSocket(ends.scope(http_version=version), nobody)
        assert client.shared
        client.abort()
        assert client.taken() is None
        await asyncio.sleep(0.05)
        ends.server.send(b"x")
        assert ends.client.recv(1) == b"x"


async def test_a_connection_that_others_use_is_reset_when_the_process_goes_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server would wait for its client."""
    monkeypatch.setattr(_client, "BETWEEN", 0.005)
    with pair() as ends:
        home = Leaving()
        client = ClientSocket(ends.scope(http_version="2"), nobody, home)
        client.abort()
        await asyncio.sleep(0.1)
        ends.server.send(b"x")
        assert ends.client.recv(1) == b"x"
        home.going = True
        with pytest.raises(ConnectionResetError):
            await asyncio.to_thread(ends.client.recv, 1)


@pytest.mark.parametrize("reads", [True, False])
async def test_a_connection_that_others_use_is_reset_when_none_of_them_gets_anything(
    monkeypatch: pytest.MonkeyPatch, reads: bool
) -> None:
    monkeypatch.setattr(_client, "BETWEEN", 0.1)
    with pair() as ends:
        client = ClientSocket(ends.scope(http_version="2"), nobody)
        fill(ends.server)
        client.abort()
        if not reads:
            await until(lambda: _was_reset(ends.client))
            return
        ends.client.settimeout(0)
        for _ in range(40):  # five looks without progress would do
            await asyncio.sleep(0.02)
            with contextlib.suppress(BlockingIOError):
                ends.client.recv(1 << 20)
            fill(ends.server)
        assert not _was_reset(ends.client)


def _was_reset(end: socket.socket) -> bool:
    return end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET


async def test_who_asks_while_the_socket_is_looked_for_is_answered_too() -> None:
    """On daphne the one that paces asks as well as the one that watches."""
    with pair() as ends:
        client = ClientSocket(ends.scope(), nobody)
        found: list[int | None] = []
        client.locate(found.append)
        client.locate(found.append)
        await until(lambda: len(found) == 2)
        assert found == [ends.server.fileno()] * 2


@pytest.mark.parametrize(
    "scope", [{}, {"client": None, "server": None}, {"client": ("192.0.2.1", 1), "server": ("/run/a", None)}]
)
async def test_a_connection_without_addresses_is_out_of_reach(scope: Scope) -> None:
    client = ClientSocket(scope, nobody)
    assert client.taken() is None
    client.abort()
    found: list[int | None] = []
    client.locate(found.append)
    assert found == [None]


async def test_a_number_that_is_anothers_by_now_is_left_alone() -> None:
    with listening() as accepting:
        gone, other = connected(accepting), connected(accepting)
    with gone.client, other.client, other.server:
        async with by_look_up(gone) as client:
            number = gone.server.detach()
            os.dup2(other.server.fileno(), number)
            with contextlib.closing(socket.socket(fileno=number)):
                assert client.descriptor() == number
                assert client.taken() is None
                client.abort()
                other.server.send(b"x")
                assert other.client.recv(1) == b"x"


# -- look-ups ------------------------------------------------------------------------------------------------


async def test_many_who_ask_at_once_share_one_search(monkeypatch: pytest.MonkeyPatch) -> None:
    searches: list[int] = []
    find = _lookup._find

    def noting(wanted: set[Address], limit: float) -> dict[Address, int]:
        searches.append(len(wanted))
        return find(wanted, limit)

    monkeypatch.setattr(_lookup, "_find", noting)
    monkeypatch.setattr(_lookup, "APART", 0.0)
    with contextlib.ExitStack() as stack:
        all_ends = [stack.enter_context(pair()) for _ in range(5)]
        found: list[int | None] = []
        for ends in all_ends:
            ClientSocket(ends.scope(), nobody).locate(found.append)
        await until(lambda: len(found) == 5)
        assert set(found) == {ends.server.fileno() for ends in all_ends}
        assert searches == [5]


async def test_a_port_that_nobody_here_serves_is_not_looked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_lookup, "_resting", {})
    scope = {"client": ("192.0.2.1", 40_000), "server": ("192.0.2.2", 7)}
    found: list[int | None] = []
    ClientSocket(scope, nobody).locate(found.append)
    await until(lambda: found)
    ClientSocket(scope, nobody).locate(found.append)
    assert found == [None, None]


async def test_nothing_is_looked_up_among_too_many_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lookup, "_resting", {})
    monkeypatch.setattr(_lookup, "LIMIT", 3)
    with pair() as ends:
        found: list[int | None] = []
        ClientSocket(ends.scope(), nobody).locate(found.append)
        await until(lambda: found)
        assert found == [None]


async def test_many_that_are_reset_at_once_share_one_search_however_many_descriptors_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At the end of a drain: a thread for each of a thousand would starve the loop for seconds."""
    searches: list[int] = []
    find = _lookup._find

    def noting(wanted: set[Address], limit: float) -> dict[Address, int]:
        searches.append(len(wanted))
        return find(wanted, limit)

    monkeypatch.setattr(_lookup, "_find", noting)
    monkeypatch.setattr(_lookup, "LIMIT", 3)
    monkeypatch.setattr(_lookup, "_resting", {})
    with contextlib.ExitStack() as stack:
        all_ends = [stack.enter_context(pair()) for _ in range(20)]
        for ends in all_ends:
            ClientSocket(ends.scope(), nobody).abort()
        await until(lambda: all(_was_reset(ends.client) for ends in all_ends))
    assert searches == [20]


async def test_what_is_to_be_reset_does_not_wait_for_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next search that is not urgent would be a minute away."""
    monkeypatch.setattr(_lookup, "APART", 60.0)
    with pair() as ends, pair() as other:
        found: list[int | None] = []
        ClientSocket(ends.scope(), nobody).locate(found.append)
        await until(lambda: found)
        ClientSocket(ends.scope(), nobody).locate(found.append)
        await asyncio.sleep(0.01)
        ClientSocket(other.scope(), nobody).abort()
        await until(lambda: _was_reset(other.client))
        assert found == [ends.server.fileno()] * 2
