"""A FIN that no server reads is noticed all the same."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import select
import socket
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from endwell import EventStream, Outcome
from endwell.asgi import _hidden, _lookup
from endwell.asgi._follower import Follower
from endwell.types import Message
from tests.asgi.pairs import Pair, Response, connected, descriptors, listening, pair, until
from tests.engine.scene import Visit

pytestmark = pytest.mark.real_time


SOON = 0.04
"""Seconds: looked after all the time."""


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_hidden, "AGE", 0.005)
    monkeypatch.setattr(_lookup, "APART", 0.0)


async def nobody() -> Message:
    raise AssertionError


@contextlib.contextmanager
def following(ends: Pair, told: list[str], name: str = "told") -> Iterator[Follower]:
    with Response(Follower(ends.scope(), nobody, Listener(told, name))) as response:
        yield response.client


class Listener:
    """Notes that the client has left."""

    def __init__(self, told: list[str], name: str = "told") -> None:
        self.gone = False
        self._told = told
        self._name = name

    def leave(self) -> None:
        self.gone = True
        self._told.append(self._name)


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

    async def forget(ends: Pair) -> Response:
        response = Response(Follower(ends.scope(), nobody, Listener([]))).__enter__()
        await until(lambda: response.client.at is not None)
        return response

    with pair() as ends:
        with asyncio.Runner() as runner:
            response = runner.run(forget(ends))
        response.client.stop()
    del response
    gc.collect()
    assert descriptors() == before


# -- a server that is quicker --------------------------------------------------------------------------------


class Connected:
    """uvicorn's cycle and transport in one, as far as they are looked at."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.transport = self
        self.disconnected = self.closing = False

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str) -> socket.socket:
        return self._connection

    def abort(self) -> None:
        self._connection.close()

    async def receive(self) -> Message:
        raise AssertionError


Connected.__module__ = "uvicorn.protocols.http.httptools_impl"


@pytest.mark.parametrize("watched", [False, True])
async def test_a_connection_that_the_server_has_closed_without_a_word_is_told_of(watched: bool) -> None:
    told: list[str] = []
    with pair() as ends:
        receive = Connected(ends.server).receive
        follower = Follower(ends.scope(), receive, Listener(told), vanished=SOON)
        with Response(follower):
            await until(lambda: follower.at is not None or not watched)
            ends.server.close()
            await until(lambda: told)
            await asyncio.sleep(0.05)
            assert told == ["told"]


async def test_one_that_was_found_and_is_closed_is_told_of() -> None:
    told: list[str] = []
    with pair() as ends:
        follower = Follower(ends.scope(), nobody, Listener(told), vanished=SOON)
        with Response(follower):
            await until(lambda: follower.at is not None)
            ends.server.close()
            await until(lambda: told)


async def test_one_whose_server_sees_it_too_is_left_to_the_server() -> None:
    """It is only to be told of what it does not see: there is nothing to reset."""
    told: list[str] = []
    with pair() as ends:
        server, listener = Connected(ends.server), Listener(told)
        with Response(Follower(ends.scope(), server.receive, listener)) as response:
            await until(lambda: response.client.at is not None)
            ends.client.shutdown(socket.SHUT_WR)
            server.closing = True
            asyncio.get_running_loop().call_later(_hidden.TURN, setattr, listener, "gone", True)
            await asyncio.sleep(0.05)
            assert told == []
            assert not server.disconnected


async def test_one_whose_server_sees_it_and_does_not_say_so_is_told_of() -> None:
    """As uvicorn, which tells but the last of pipelined requests; or because nobody asks it at the moment."""
    told: list[str] = []
    with pair() as ends:
        server = Connected(ends.server)
        with Response(Follower(ends.scope(), server.receive, Listener(told))) as response:
            await until(lambda: response.client.at is not None)
            ends.client.shutdown(socket.SHUT_WR)
            server.closing = True
            await until(lambda: told == ["told"])


async def test_one_that_cannot_be_watched_yet_is_watched_later(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def no_more() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with pair() as ends, pair() as given_up, following(ends, told) as follower:
        with monkeypatch.context() as patched, following(given_up, told):
            patched.setattr(select, "epoll", no_more)
            await asyncio.sleep(0.1)
            assert follower.at is None
        await until(lambda: follower.at is not None)
        ends.client.close()
        await until(lambda: told)
        assert told == ["told"]


async def test_what_goes_wrong_with_one_is_not_the_others_loss() -> None:
    class Broken(Follower):
        def follow(self, watch: _hidden.Watch) -> bool:
            raise LookupError

        def is_gone(self) -> bool:
            raise LookupError

    seen: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context["exception"]))
    told: list[str] = []
    with pair() as ends, Response(Broken({}, nobody, Listener(told))), following(ends, told) as follower:
        await until(lambda: seen and follower.at is not None)
        with following(ends, told, "later") as later:
            await until(lambda: later.at is not None)
            ends.client.close()
            await until(lambda: sorted(told) == ["later", "told"])


async def test_the_sweep_goes_on_when_one_look_goes_wrong() -> None:
    class Broken(Follower):
        def is_gone(self) -> bool:
            raise LookupError

    seen: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context["exception"]))
    told: list[str] = []
    with pair() as ends, pair() as other:
        broken = Broken(other.scope(), Connected(other.server).receive, Listener(told), vanished=SOON)
        sound = Follower(ends.scope(), Connected(ends.server).receive, Listener(told), vanished=SOON)
        with Response(broken), Response(sound):
            await until(lambda: len(seen) > 2)
            ends.server.close()
            await until(lambda: told)


async def test_a_loop_that_is_late_all_the_time_tells_all_the_same() -> None:
    """Whoever is late has many to tell, and tells them first; but not for ever."""
    told: list[str] = []
    with pair() as ends, following(ends, told) as follower:
        await until(lambda: follower.at is not None)
        ends.client.shutdown(socket.SHUT_WR)
        turns = 0
        while not told:
            turns += 1
            time.sleep(3 * _hidden.TURN)  # noqa: ASYNC251
            await asyncio.sleep(0)
        assert 2 < turns < 20


async def test_many_that_ripen_at_once_are_taken_up_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_hidden, "BEGIN", 2)
    with contextlib.ExitStack() as stack:
        servers = [Connected(stack.enter_context(pair()).server) for _ in range(5)]
        responses = [Response(Follower({}, server.receive, Listener([]))) for server in servers]
        for response in responses:
            stack.enter_context(response)
        await until(lambda: all(response.client.at is not None for response in responses))


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
