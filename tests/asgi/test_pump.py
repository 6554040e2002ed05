"""The one reader of receive(): nothing is lost, whoever asks, however late."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request

from endwell import EventStream, Outcome
from endwell.asgi import Pump, _uvicorn
from endwell.asgi._pump import MAX_UNREAD
from endwell.types import Message, Receive, Scope, Send
from tests.engine.scene import QUIET, Diary, Visit, for_ever, turns
from tests.peer import Peer


class Server:
    """A `receive` that a test feeds."""

    def __init__(self, *messages: Message) -> None:
        self.messages = deque(messages)
        self.calls = 0
        self._arrived = asyncio.Event()

    def say(self, *messages: Message) -> None:
        self.messages.extend(messages)
        self._arrived.set()

    async def receive(self) -> Message:
        self.calls += 1
        while not self.messages:
            self._arrived.clear()
            await self._arrived.wait()
        return self.messages.popleft()


@pytest.fixture(autouse=True, params=["in a task", "by hand"])
def by_hand(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    """Whether `Server` is taken for uvicorn, whose `receive` needs no task."""
    _uvicorn._is_uvicorns.cache_clear()
    _uvicorn._is_plain.cache_clear()
    if request.param == "by hand":
        monkeypatch.setattr(Server, "__module__", "uvicorn.protocols.http.h11_impl")
        monkeypatch.setattr(Server.receive, "__module__", "uvicorn.protocols.http.h11_impl")
    yield request.param == "by hand"
    _uvicorn._is_uvicorns.cache_clear()
    _uvicorn._is_plain.cache_clear()


class Listener:
    """Somebody who wants to know that the client has left."""

    def __init__(self, diary: Diary, word: str) -> None:
        self.client_gone = lambda: diary(word)


def piece(body: bytes = b"x", *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


GONE: Message = {"type": "http.disconnect"}
HALF = bytes(MAX_UNREAD // 2)


@asynccontextmanager
async def running(pump: Pump) -> AsyncIterator[None]:
    pump.start()
    await turns()
    try:
        yield
    finally:
        await pump.end()


# -- the disconnect ------------------------------------------------------------------------------------------


async def test_the_disconnect_is_told_to_every_reader_as_often_as_asked() -> None:
    server = Server()
    pump = Pump(server.receive)
    async with running(pump):
        readers = [asyncio.create_task(pump.receive()) for _ in range(3)]
        await turns()
        assert not pump.gone
        server.say(GONE)
        assert [await reader for reader in readers] == [GONE] * 3
        assert [await pump.receive() for _ in range(3)] == [GONE] * 3
        assert pump.gone
    assert server.calls == 1


async def test_the_disconnect_of_a_websocket_stays_one() -> None:
    closed = {"type": "websocket.disconnect", "code": 1006}
    pump = Pump(Server(closed).receive)
    async with running(pump):
        assert await pump.receive() == closed


async def test_listeners_are_called_once_each_and_late_ones_at_once() -> None:
    server = Server()
    pump = Pump(server.receive)
    diary = Diary()
    pump.listen(Listener(diary, "first"))
    pump.listen(Listener(diary, "second"))
    async with running(pump):
        assert diary == []
        server.say(GONE)
        await turns()
        pump.listen(Listener(diary, "late"))
    assert diary.words == ["first", "second", "late"]


async def test_a_receive_that_raises_oserror_is_a_disconnect() -> None:
    async def receive() -> Message:
        raise ConnectionResetError

    pump = Pump(receive)
    async with running(pump):
        assert await pump.receive() == GONE
        assert pump.gone


@pytest.mark.parametrize(
    "error", [RuntimeError, LookupError, ExceptionGroup("of a middleware", [ValueError()])]
)
async def test_a_receive_that_is_broken_says_nothing_about_the_client(error: BaseException) -> None:
    async def receive() -> Message:
        raise error

    pump = Pump(receive)
    async with running(pump):
        assert not pump.gone


async def test_an_unknown_message_is_handed_on() -> None:
    strange = {"type": "http.request.trailers"}
    pump = Pump(Server(strange).receive)
    async with running(pump):
        assert await pump.receive() == strange


# -- the body ------------------------------------------------------------------------------------------------


async def test_a_body_is_kept_for_a_late_reader_in_order() -> None:
    messages = [piece(b"a"), piece(b"b"), piece(b"c", more=False)]
    pump = Pump(Server(*messages).receive)
    async with running(pump):
        assert [await pump.receive() for _ in range(3)] == messages


async def test_once_the_client_is_gone_every_reader_is_told_so_at_once_as_by_the_servers_themselves() -> None:
    pump = Pump(Server(piece(b"a"), piece(b"b", more=False), GONE).receive)
    async with running(pump):
        assert await pump.receive() == GONE


async def test_two_readers_get_each_piece_once() -> None:
    server = Server()
    pump = Pump(server.receive)
    async with running(pump):
        readers = [asyncio.create_task(pump.receive()) for _ in range(2)]
        await turns()
        server.say(piece(b"a"), piece(b"b", more=False))
        assert {message["body"] for message in await asyncio.gather(*readers)} == {b"a", b"b"}


async def test_a_large_body_that_nobody_reads_does_not_hide_the_disconnect() -> None:
    server = Server(*[piece(HALF)] * 20, piece(more=False), GONE)
    pump = Pump(server.receive)
    async with running(pump):
        assert pump.gone


async def test_whoever_reads_a_dropped_body_gets_an_error_every_time_and_never_its_rest() -> None:
    server = Server(*[piece(HALF)] * 4)
    pump = Pump(server.receive)
    async with running(pump):
        for _ in range(3):
            with pytest.raises(RuntimeError, match="read it before streaming"):
                await pump.receive()
        server.say(piece(b"the rest", more=False))
        await turns()
        with pytest.raises(RuntimeError):
            await pump.receive()
        server.say(GONE)
        await turns()
        assert await pump.receive() == GONE


async def test_a_body_that_somebody_is_reading_is_not_dropped_however_slowly_they_read() -> None:
    server = Server(piece(b"first"))
    pump = Pump(server.receive)
    async with running(pump):
        assert (await pump.receive())["body"] == b"first"
        server.say(*[piece(HALF)] * 9, piece(b"last", more=False))
        await turns()
        pieces: list[bytes] = []
        while not pieces or pieces[-1] != b"last":
            pieces.append((await pump.receive())["body"])
            await asyncio.sleep(1)
        assert pieces == [*[HALF] * 9, b"last"]
        server.say(GONE)
        assert await pump.receive() == GONE


async def test_a_pump_that_keeps_all_waits_for_its_reader() -> None:
    server = Server(*[piece(HALF)] * 9, piece(b"last", more=False))
    pump = Pump(server.receive, keep_all=True)
    async with running(pump):
        await asyncio.sleep(100)
        assert server.calls <= 4
        pieces = [(await pump.receive())["body"] for _ in range(10)]
        assert pieces == [*[HALF] * 9, b"last"]
        server.say(GONE)
        await turns()
        assert pump.gone


async def test_a_body_that_comes_in_ten_thousand_pieces_at_once_is_kept_whole() -> None:
    pieces = [piece(b"%d" % number) for number in range(10_000)]
    server = Server(*pieces, piece(b"last", more=False))
    pump = Pump(server.receive)
    async with running(pump):
        assert [await pump.receive() for _ in range(10_001)] == [*pieces, piece(b"last", more=False)]


async def test_one_that_waits_for_its_reader_drops_when_nobody_may_read_any_more() -> None:
    server = Server(*[piece(HALF)] * 9, GONE)
    pump = Pump(server.receive, keep_all=True)
    async with running(pump):
        assert server.calls <= 4
        pump.may_drop()
        await turns()
        assert pump.gone


# -- being stopped -------------------------------------------------------------------------------------------


async def test_what_arrives_when_it_was_stopped_is_for_the_next_reader() -> None:
    server = Server()
    for reader in [Pump(server.receive) for _ in range(3)]:
        reader.start()
        await turns()
        assert reader.running
        server.say(piece(b"for the last one"))  # the very turn of the loop in which it is stopped
        await reader.end()
        assert not reader.running
        if server.messages:
            continue
    assert (await server.receive())["body"] == b"for the last one"


async def test_one_that_was_stopped_goes_on_where_it_was() -> None:
    server = Server(piece(b"a"))
    pump = Pump(server.receive)
    async with running(pump):
        pass
    server.say(piece(b"b"))
    await turns()
    assert len(server.messages) == 1
    async with running(pump):
        assert [(await pump.receive())["body"] for _ in range(2)] == [b"a", b"b"]
        server.say(GONE)
        await turns()
        assert pump.gone


async def test_one_that_is_stopped_and_started_in_one_turn_of_the_loop_reads_once() -> None:
    server = Server()
    pump = Pump(server.receive)
    async with running(pump):
        server.say(piece(b"a"))
        await pump.end()
        pump.start()
        pump.start()
        await turns()
        server.say(piece(b"b"))
        assert [(await pump.receive())["body"] for _ in range(2)] == [b"a", b"b"]


async def test_one_that_waits_for_its_reader_can_be_stopped_and_goes_on() -> None:
    server = Server(*[piece(HALF)] * 9, GONE)
    pump = Pump(server.receive, keep_all=True)
    async with running(pump):
        assert pump.running
    assert not pump.running
    assert server.messages
    async with running(pump):
        pieces = [(await pump.receive())["body"] for _ in range(5)]
        await turns()
        assert pieces == [HALF] * 5


async def test_a_listener_may_stop_it() -> None:
    server = Server(piece(), GONE)
    pump = Pump(server.receive)

    class Stopping:
        def client_gone(self) -> None:
            pump.stop()

    pump.listen(Stopping())
    async with running(pump):
        assert pump.gone
        assert not pump.running
    assert server.calls == 2


async def test_one_that_is_over_is_not_started_again() -> None:
    server = Server(GONE)
    pump = Pump(server.receive)
    async with running(pump):
        assert pump.gone
    async with running(pump):
        assert not pump.running
    assert server.calls == 1


async def test_who_cancels_what_it_waits_for_stops_it(by_hand: bool) -> None:
    class Cancelled(Server):
        async def receive(self) -> Message:
            raise asyncio.CancelledError

    if by_hand:
        Cancelled.__module__ = Cancelled.receive.__module__ = Server.__module__
    pump = Pump(Cancelled().receive)
    async with running(pump):
        assert not pump.running
        assert not pump.gone


def test_a_loop_that_is_closed_meanwhile_leaves_nothing_behind(
    caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    async def forget() -> None:
        Pump(Server(piece()).receive).start()
        await turns()

    asyncio.run(forget())
    gc.collect()
    assert caplog.messages == []
    assert [str(warning.message) for warning in recwarn] == []


# -- by hand -------------------------------------------------------------------------------------------------


def tasks() -> int:
    """Of the library."""
    return sum(task.get_name().startswith("endwell") for task in asyncio.all_tasks())


async def test_uvicorns_own_receive_takes_no_task(by_hand: bool) -> None:
    server = Server()
    async with running(Pump(server.receive)):
        assert tasks() == (not by_hand)


def closure(receive: Receive) -> Receive:
    async def receive_below() -> Message:
        return await receive()

    return receive_below


def in_its_place(receive: Receive) -> Receive:
    """As somebody does who wants to see all that uvicorn receives."""

    async def receive_below(_: object) -> Message:
        return await receive()

    server: Any = receive.__self__  # type: ignore[attr-defined]
    return receive_below.__get__(server)  # type: ignore[no-any-return]


def marked(receive: Receive) -> Receive:
    """As by `functools.wraps`."""
    wrapped: Any = in_its_place(receive)
    wrapped.__func__.__module__ = receive.__self__.__class__.__module__  # type: ignore[attr-defined]
    wrapped.__func__.__wrapped__ = receive
    return wrapped  # type: ignore[no-any-return]


@pytest.mark.parametrize("wrap", [closure, in_its_place, marked])
async def test_what_is_put_around_it_has_a_task(wrap: Callable[[Receive], Receive]) -> None:
    server = Server()
    pump = Pump(wrap(server.receive))
    async with running(pump):
        assert tasks() == 1
        server.say(GONE)
        await turns()
        assert pump.gone


async def a_turn() -> None:
    await asyncio.sleep(0)


async def in_time() -> None:
    async with asyncio.timeout(1):
        await asyncio.sleep(0.01)


async def by_a_task() -> None:
    await asyncio.create_task(asyncio.sleep(0.01))


@pytest.mark.parametrize("wait", [a_turn, in_time, by_a_task])
async def test_a_uvicorn_that_needs_a_task_after_all_gets_one(
    wait: Callable[[], Awaitable[None]], by_hand: bool, caplog: pytest.LogCaptureFixture
) -> None:
    class Later(Server):
        async def receive(self) -> Message:
            await wait()
            return await super().receive()

    if by_hand:
        Later.__module__ = Later.receive.__module__ = Server.__module__
    caplog.set_level(logging.DEBUG, "endwell")
    server = Later(piece(b"a"), piece(b"b"))
    pump = Pump(server.receive)
    async with running(pump):
        assert [(await pump.receive())["body"] for _ in range(2)] == [b"a", b"b"]
        server.say(GONE)
        await asyncio.sleep(0.1)
        assert pump.gone
    assert caplog.messages == []


async def test_listeners_are_told_in_the_requests_own_context() -> None:
    whose = contextvars.ContextVar[str]("whose")
    seen = []

    class Seeing:
        def client_gone(self) -> None:
            seen.append(whose.get("nobody's"))

    async def request(number: int, server: Server) -> None:
        whose.set(f"request {number}")
        pump = Pump(server.receive)
        pump.listen(Seeing())
        pump.start()
        await turns()

    servers = [Server(piece()), Server(piece())]
    for number, server in enumerate(servers):
        await asyncio.create_task(request(number, server))
    for server in servers:
        server.say(piece(), GONE)
    await turns()
    assert seen == ["request 0", "request 1"]


# -- under a stream ------------------------------------------------------------------------------------------


async def test_a_stream_that_leaves_a_large_body_unread_notices_the_client_leave() -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        try:
            yield "x"
            await for_ever()
        finally:
            diary("cleaned")

    visit = Visit(source(), method="POST", body=[HALF] * 20)
    await visit.got(b"x")
    visit.leave()
    assert (await visit.ending()).outcome is Outcome.CLIENT_GONE
    assert diary.words == ["cleaned"]


async def test_a_source_can_read_the_body_and_ask_for_the_disconnect_while_it_streams() -> None:
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)

        async def source() -> AsyncIterator[int]:
            async for data in request.stream():
                yield len(data)
            seen.append(await request.is_disconnected())
            peer.leave()
            try:
                await for_ever()
            finally:
                seen.append(await request.is_disconnected())

        response = EventStream(source(), policy=QUIET)
        response.attach(None, request)  # type: ignore[arg-type]
        await response(scope, receive, send)

    peer = Peer(app, method="POST", body=[b"one", b"three", b""])
    await peer.finished()
    assert peer.frames == [b"data: 3", b"data: 5", b"data: 0"]
    assert seen == [False, True]


async def test_a_source_that_reads_a_body_whose_client_left_gets_starlettes_own_error() -> None:
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)

        async def source() -> AsyncIterator[str]:
            try:
                yield "x"
                await for_ever()
            finally:
                try:
                    await request.body()
                except ClientDisconnect as error:
                    seen.append(error)

        response = EventStream(source(), policy=QUIET)
        response.attach(None, request)  # type: ignore[arg-type]
        await response(scope, receive, send)

    peer = Peer(app, method="POST", body=())
    await peer.got(b"x")
    peer.leave()
    await peer.finished()
    assert len(seen) == 1
