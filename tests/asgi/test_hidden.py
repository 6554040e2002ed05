"""A FIN that no server reads is noticed all the same."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from endwell import EventStream, Outcome
from endwell.asgi import _hidden, _lookup
from endwell.asgi._client import ClientSocket
from endwell.asgi._hidden import Follower
from endwell.types import Message
from tests.asgi.pairs import Pair, connected, descriptors, listening, pair, until
from tests.engine.scene import Visit

pytestmark = pytest.mark.real_time


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_hidden, "AGE", 0.005)
    monkeypatch.setattr(_lookup, "APART", 0.0)


async def nobody() -> Message:
    raise AssertionError


@contextlib.contextmanager
def following(ends: Pair, told: list[str], name: str = "told") -> Iterator[Follower]:
    follower = Follower(ClientSocket(ends.scope(), nobody), lambda: told.append(name), None)
    try:
        yield follower
    finally:
        follower.stop()


def reset(ends: Pair) -> None:
    ends.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    ends.client.close()


@pytest.mark.parametrize(
    "leave",
    [lambda ends: ends.client.shutdown(socket.SHUT_WR), lambda ends: ends.client.close(), reset],
    ids=["half-close", "fin", "reset"],
)
@pytest.mark.parametrize("already", [False, True])
async def test_a_client_that_leaves_unread_is_told_of_once(leave: object, already: bool) -> None:
    assert callable(leave)
    told: list[str] = []
    before = descriptors()
    with pair() as ends, following(ends, told) as follower:
        if already:
            leave(ends)
        else:
            await until(lambda: follower.at is not None)
            leave(ends)
        await until(lambda: told)
        await asyncio.sleep(0.03)
        assert told == ["told"]
        assert follower.at is None
    assert descriptors() <= before


async def test_a_request_that_nobody_reads_is_no_leaving() -> None:
    told: list[str] = []
    with pair() as ends, following(ends, told) as follower:
        await until(lambda: follower.at is not None)
        ends.client.send(b"GET / HTTP/1.1\r\n\r\n")
        await asyncio.sleep(0.03)
        assert told == []
        ends.client.shutdown(socket.SHUT_WR)
        await until(lambda: told)


async def test_a_short_stream_costs_no_descriptor() -> None:
    before = descriptors()
    with pair() as ends:
        with following(ends, []):
            assert len(descriptors() - before) == 2
        await asyncio.sleep(0.03)
        assert len(descriptors() - before) == 2


async def test_when_the_last_stream_ends_nothing_is_left() -> None:
    before = descriptors()
    with pair() as one, pair() as two:
        with following(one, []) as first, following(two, []) as second:
            await until(lambda: first.at is not None and second.at is not None)
            assert len(descriptors() - before) == 5
        assert len(descriptors() - before) == 4


async def test_streams_that_share_a_connection_are_all_told() -> None:
    told: list[str] = []
    with pair() as ends, following(ends, told, "one") as one, following(ends, told, "two") as two:
        await until(lambda: one.at is not None and two.at is not None)
        ends.client.close()
        await until(lambda: sorted(told) == ["one", "two"])


async def test_one_that_ends_leaves_the_other_on_its_connection_watched() -> None:
    told: list[str] = []
    with pair() as ends, following(ends, told, "one") as one, following(ends, told, "two") as two:
        await until(lambda: one.at is not None and two.at is not None)
        one.stop()
        ends.client.close()
        await until(lambda: told == ["two"])


async def test_a_number_that_is_used_again_tells_of_the_right_connection() -> None:
    told: list[str] = []
    with listening() as accepting:
        first, second = connected(accepting), connected(accepting)
        number = first.server.fileno()
        with first.client, second.client, second.server, following(first, told, "first") as one:
            await until(lambda: one.at == number)
            os.dup2(second.server.fileno(), number)
            with contextlib.closing(socket.socket(fileno=first.server.detach())) as again:
                second.server.close()
                moved = Pair(second.client, again)
                with following(moved, told, "second") as two:
                    await until(lambda: two.at == number)
                    first.client.close()
                    one.stop()
                    await asyncio.sleep(0.03)
                    assert told == []
                    second.client.close()
                    await until(lambda: told == ["second"])


def test_a_loop_that_is_closed_with_live_streams_leaves_nothing() -> None:
    before = descriptors()

    async def forget(ends: Pair) -> Follower:
        follower = Follower(ClientSocket(ends.scope(), nobody), lambda: None, None)
        await until(lambda: follower.at is not None)
        return follower

    with pair() as ends:
        with asyncio.Runner() as runner:
            follower = runner.run(forget(ends))
        follower.stop()
    del follower
    gc.collect()
    assert descriptors() == before


# -- a server that is quicker --------------------------------------------------------------------------------


class Connected:
    """uvicorn's cycle and transport in one, as far as they are looked at."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.transport = self
        self.disconnected = False

    def get_extra_info(self, name: str) -> socket.socket:
        return self._connection

    def abort(self) -> None:
        self._connection.close()

    async def receive(self) -> Message:
        raise AssertionError


Connected.__module__ = "uvicorn.protocols.http.httptools_impl"


class Often:
    """A check that finds nothing."""

    every = 0.01

    def begin(self, connection: socket.socket) -> None:
        pass

    def look(self, connection: socket.socket) -> bool:
        return False

    def end(self, connection: socket.socket) -> None:
        pass


@pytest.mark.parametrize("watched", [False, True])
async def test_a_connection_that_the_server_has_closed_without_a_word_is_told_of(watched: bool) -> None:
    told: list[str] = []
    with pair() as ends:
        client = ClientSocket({}, Connected(ends.server).receive)
        follower = Follower(client, lambda: told.append("told"), Often())
        await until(lambda: follower.at is not None or not watched)
        ends.server.close()
        await until(lambda: told)
        await asyncio.sleep(0.05)
        assert told == ["told"]
        follower.stop()


async def test_one_that_was_found_and_is_closed_is_told_of() -> None:
    told: list[str] = []
    with pair() as ends:
        follower = Follower(ClientSocket(ends.scope(), nobody), lambda: told.append("told"), Often())
        await until(lambda: follower.at is not None)
        ends.server.close()
        await until(lambda: told)
        follower.stop()


# -- through a stream ----------------------------------------------------------------------------------------


async def for_ever() -> AsyncIterator[str]:
    yield "chunk"
    await asyncio.Event().wait()


async def test_a_stream_ends_by_a_fin_that_its_server_does_not_read() -> None:
    with pair() as ends:
        visit = Visit(for_ever(), EventStream, client=ends.scope()["client"], server=ends.scope()["server"])
        await visit.got(b"chunk")
        ends.client.shutdown(socket.SHUT_WR)
        ending = await visit.ending()
        assert ending.outcome is Outcome.CLIENT_GONE
        with pytest.raises(ConnectionResetError):  # freed, whatever waits
            ends.client.recv(1)
