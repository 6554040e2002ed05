"""The pump on uvicorn's own protocols: stepped by hand, between bytes that come as a client sends them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.protocols.http import h11_impl
from uvicorn.server import ServerState

from endwell.asgi import Pump, _uvicorn
from endwell.asgi._pump import MAX_UNREAD
from endwell.types import Receive, Scope, Send
from tests.engine.scene import turns

httptools_impl: Any = pytest.importorskip("uvicorn.protocols.http.httptools_impl")
HALF = bytes(MAX_UNREAD // 2)
PROTOCOLS: dict[str, Callable[..., Any]] = {"h11": h11_impl.H11Protocol}
if find_spec("httptools") is not None:  # else there is no such protocol either
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    PROTOCOLS["httptools"] = HttpToolsProtocol
implementations = pytest.mark.parametrize("implementation", PROTOCOLS.values(), ids=PROTOCOLS)


class Transport(asyncio.Transport):
    """Goes nowhere, and knows whether the server wants to read."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 1), "sockname": ("192.0.2.2", 2)})
        self.paused = self.closing = False
        self.written = b""

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True


class Connection:
    """A client's connection to uvicorn, and the pump of the request on it."""

    def __init__(self, implementation: Callable[..., Any], *, keep_all: bool = False) -> None:
        self._keep_all = keep_all
        config = Config(self._app, interface="asgi3", log_config=None, lifespan="off", access_log=False)
        config.load()
        self.transport = Transport()
        self.protocol = implementation(config, ServerState(), {})
        self.protocol.connection_made(self.transport)
        self.answer = asyncio.Event()

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.pump = Pump(receive, keep_all=self._keep_all)
        self.pump.start()
        try:
            await self.answer.wait()
        finally:
            self.pump.stop()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(self, data: bytes) -> None:
        """As much as the server will read now."""
        self.protocol.data_received(data)
        await turns()

    async def leave(self) -> None:
        self.transport.closing = True
        self.protocol.connection_lost(None)
        await turns()


@contextmanager
def no_tasks() -> Iterator[None]:
    before = asyncio.all_tasks()
    yield
    assert asyncio.all_tasks() <= before


def post(size: int, more: str = "") -> bytes:
    return f"POST / HTTP/1.1\r\nhost: a\r\n{more}content-length: {size}\r\n\r\n".encode()


async def body_of(pump: Pump) -> bytes:
    body, more = b"", True
    while more:
        message = await pump.receive()
        body, more = body + message["body"], message["more_body"]
    return body


@implementations
def test_this_uvicorns_receive_is_known_to_need_no_task(implementation: Callable[..., Any]) -> None:
    cycle = sys.modules[implementation.__module__].RequestResponseCycle
    assert _uvicorn._is_plain(cycle, cycle.receive)


@implementations
async def test_a_client_that_leaves_is_noticed_without_a_task(implementation: Callable[..., Any]) -> None:
    connection = Connection(implementation)
    await connection.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    with no_tasks():
        assert connection.pump.running
        assert not connection.pump.gone
        await connection.leave()
        assert connection.pump.gone
        assert not connection.pump.running
    connection.answer.set()


@implementations
async def test_one_that_has_left_already_is_noticed_at_once(implementation: Callable[..., Any]) -> None:
    connection = Connection(implementation)
    connection.protocol.data_received(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    connection.protocol.connection_lost(None)
    await turns()
    assert connection.pump.gone
    connection.answer.set()


@implementations
async def test_a_body_in_pieces_is_kept_and_asked_for_with_100_continue(
    implementation: Callable[..., Any],
) -> None:
    connection = Connection(implementation)
    await connection.send(post(9, "expect: 100-continue\r\n"))
    assert connection.transport.written.startswith(b"HTTP/1.1 100 ")
    for data in (b"one", b"two", b"six"):
        await connection.send(data)
    assert await body_of(connection.pump) == b"onetwosix"
    await connection.leave()
    assert connection.pump.gone
    connection.answer.set()


@implementations
async def test_a_reader_that_is_slow_holds_the_client_up(implementation: Callable[..., Any]) -> None:
    connection = Connection(implementation, keep_all=True)
    await connection.send(post(6 * len(HALF)))
    sent = 0
    while not connection.transport.paused and sent < 6:
        await connection.send(HALF)
        sent += 1
    assert connection.transport.paused
    assert sent < 6
    reading = asyncio.create_task(body_of(connection.pump))
    while sent < 6:
        await turns()
        assert not connection.transport.paused
        await connection.send(HALF)
        sent += 1
    assert len(await reading) == 6 * len(HALF)
    await connection.leave()
    assert connection.pump.gone
    connection.answer.set()


@implementations
async def test_what_was_not_read_when_it_stopped_is_left_to_the_next_reader(
    implementation: Callable[..., Any],
) -> None:
    connection = Connection(implementation)
    await connection.send(post(6))
    receive: Callable[[], Awaitable[Any]] = connection.pump.origin
    connection.protocol.data_received(b"unread")  # the turn of the loop in which it stops
    connection.pump.stop()
    message = await receive()
    assert (message["body"], message["more_body"]) == (b"unread", False)
    connection.answer.set()
    await turns()


@implementations
async def test_the_next_request_on_the_connection_has_its_own(implementation: Callable[..., Any]) -> None:
    connection = Connection(implementation)
    for _ in range(3):
        await connection.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        pump = connection.pump
        assert pump.running
        connection.answer.set()
        await turns()
        assert not pump.running
        assert not pump.gone
        connection.answer.clear()
    await connection.leave()
