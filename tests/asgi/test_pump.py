"""The one reader of receive(): nothing is lost, whoever asks, however late."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.requests import ClientDisconnect, Request

from endwell import EventStream, Outcome
from endwell.asgi import Pump
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


def piece(body: bytes = b"x", *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


GONE: Message = {"type": "http.disconnect"}
HALF = bytes(MAX_UNREAD // 2)


@asynccontextmanager
async def running(pump: Pump) -> AsyncIterator[None]:
    task = asyncio.create_task(pump.run())
    await turns()
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


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
    pump.listen(lambda: diary("first"))
    pump.listen(lambda: diary("second"))
    async with running(pump):
        assert diary == []
        server.say(GONE)
        await turns()
        pump.listen(lambda: diary("late"))
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
