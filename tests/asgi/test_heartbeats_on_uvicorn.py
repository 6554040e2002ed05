"""Heartbeats on uvicorn's own protocols: from the timer, where nothing is in between that could wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from endwell import Cause, Ending, EventStream, Outcome, Policy, SourceCrashed
from endwell.asgi._connection import HTTPConnection
from endwell.asgi._uvicorn import _SENDS
from endwell.engine._current import current
from endwell.types import ASGIApp, Message, Receive, Scope, Send
from tests.asgi.test_pump_on_uvicorn import Transport, implementations
from tests.engine.scene import Diary, for_ever, now, turns
from tests.peer import Peer

PING = b": ping\n"
EVERY = 5.0
LATE = 0.05
"""Seconds: a grain of the wheel, for each of a few heartbeats."""

connections: list[HTTPConnection] = []
endings: list[Ending] = []
variable: ContextVar[str] = ContextVar("variable")


@pytest.fixture(autouse=True)
def _forget() -> None:
    connections.clear()
    endings.clear()


async def source(cleaned: Callable[[str], None] = lambda _: None) -> AsyncIterator[str]:
    stream = current.get()
    assert stream is not None
    connections.append(stream.writer.connection)  # type: ignore[arg-type]
    try:
        yield "one"
        await for_ever()
    finally:
        await asyncio.sleep(1)
        cleaned("cleaned")


def response(cleaned: Callable[[str], None] = lambda _: None) -> EventStream:
    policy = Policy(heartbeat=EVERY, hold=None, send=None)
    return EventStream(source(cleaned), policy=policy, on_end=endings.append)


# -- applications --------------------------------------------------------------------------------------------


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    variable.set("the request's")
    await response()(scope, receive, send)


async def endpoint(request: Request) -> Response:
    return response()


def wrapping(app: ASGIApp) -> ASGIApp:
    """As everybody writes it."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def stamping(message: Message) -> None:
            await send(message)

        await app(scope, receive, stamping)

    return wrapped


async def through(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    return await call_next(request)


def starlette(*middlewares: Middleware) -> ASGIApp:
    route = Route("/", endpoint)
    return Starlette(routes=[route, Mount("/below", routes=[route])], middleware=middlewares)


async def answer() -> EventStream:
    return response()


def fastapi() -> ASGIApp:
    app = FastAPI()
    app.get("/", response_class=EventStream)(answer)
    return app


PROMPT: dict[str, Callable[[], ASGIApp]] = {
    "bare": lambda: bare,
    "Starlette": starlette,
    "FastAPI": fastapi,
}
OTHERS: dict[str, Callable[[], ASGIApp]] = {
    "a function around send": lambda: wrapping(bare),
    "a function around Starlette's": lambda: wrapping(starlette()),
    "a function within Starlette": lambda: starlette(Middleware(wrapping)),
    "BaseHTTPMiddleware": lambda: starlette(Middleware(BaseHTTPMiddleware, dispatch=through)),
}
prompt = pytest.mark.parametrize("make", PROMPT.values(), ids=PROMPT)
others = pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)


# -- a client of them ----------------------------------------------------------------------------------------


class Wire(Transport):
    """Notes what is written, when, in which task, and with what in its context."""

    def __init__(self) -> None:
        super().__init__()
        self.fault: BaseException | None = None
        self.beats: list[float] = []
        self.tasks: list[asyncio.Task[Any] | None] = []
        self.seen: list[str | None] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.fault is not None:
            raise self.fault
        super().write(data)
        if PING in bytes(data):
            self.beats.append(now())
            self.tasks.append(asyncio.current_task())
            self.seen.append(variable.get(None))


class Client:
    """One that has asked for a stream, and got its first event."""

    def __init__(self, implementation: Callable[..., Any], app: ASGIApp, path: str = "/") -> None:
        config = Config(app, interface="asgi3", log_config=None, lifespan="off", access_log=False)
        config.load()
        self._state = ServerState()
        self.wire = Wire()
        self.protocol = implementation(config, self._state, {})
        self.protocol.connection_made(self.wire)
        self.protocol.data_received(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())

    async def began(self) -> None:
        """Wait for the first event."""
        while b"data: one" not in self.wire.written:
            await turns(1)

    async def leave(self) -> None:
        self.wire.closing = True
        self.protocol.connection_lost(None)
        await self.over()

    async def over(self) -> None:
        while self._state.tasks:
            await asyncio.wait(self._state.tasks)


def on_time(times: list[float]) -> bool:
    return all(0 <= at - EVERY * number <= LATE for number, at in enumerate(times, 1))


@implementations
@prompt
async def test_heartbeats_are_sent_by_the_timer_and_wake_no_task(
    implementation: Callable[..., Any], make: Callable[[], ASGIApp]
) -> None:
    client = Client(implementation, make())
    await client.began()
    assert connections[0].is_prompt
    await asyncio.sleep(EVERY * 4 + 1)
    assert on_time(client.wire.beats)
    assert client.wire.tasks == [None] * 4
    await client.leave()
    assert endings[0].heartbeats == 4


@implementations
async def test_they_are_also_below_a_mount(implementation: Callable[..., Any]) -> None:
    client = Client(implementation, starlette(), "/below/")
    await client.began()
    await asyncio.sleep(EVERY + 1)
    assert client.wire.tasks == [None]
    await client.leave()


@implementations
@others
async def test_behind_what_may_wait_in_send_they_are_sent_in_a_task(
    implementation: Callable[..., Any], make: Callable[[], ASGIApp]
) -> None:
    client = Client(implementation, make())
    await client.began()
    assert not connections[0].is_prompt
    await asyncio.sleep(EVERY * 4 + 1)
    assert on_time(client.wire.beats)
    assert len(client.wire.tasks) == 4
    assert None not in client.wire.tasks
    await client.leave()
    assert endings[0].heartbeats == 4


async def test_from_another_server_they_come_as_well() -> None:
    peer = Peer(bare)
    await asyncio.sleep(EVERY * 4 + 1)
    assert not connections[0].is_prompt
    assert on_time([sent.at for sent in peer.sends if PING in sent.data])
    assert peer.body.count(PING) == 4
    peer.leave()
    await peer.finished()


@implementations
@prompt
async def test_a_client_that_is_behind_gets_none_until_it_reads(
    implementation: Callable[..., Any], make: Callable[[], ASGIApp]
) -> None:
    client = Client(implementation, make())
    await client.began()
    await asyncio.sleep(EVERY + 1)
    client.protocol.pause_writing()
    before = client.wire.written
    await asyncio.sleep(EVERY * 6)
    assert client.wire.written == before
    client.protocol.resume_writing()
    resumed = now()
    await asyncio.sleep(EVERY * 2 + 1)
    assert client.wire.beats[1:] == [pytest.approx(resumed + EVERY * number, abs=LATE) for number in range(3)]
    assert client.wire.tasks[2:] == [None] * 2
    await client.leave()
    assert endings[0].heartbeats == 4


@implementations
async def test_the_requests_context_variables_are_there(implementation: Callable[..., Any]) -> None:
    client = Client(implementation, bare)
    await client.began()
    await asyncio.sleep(EVERY * 2 + 1)
    assert client.wire.seen == ["the request's"] * 2
    await client.leave()


FAULTS = [
    (OSError("broken"), Outcome.CLIENT_GONE, Cause.SEND_FAILED, None),
    (RuntimeError("closed"), Outcome.CLIENT_GONE, Cause.SEND_FAILED, None),
    (LookupError("a fault"), Outcome.FAILED, Cause.SEND_CRASHED, LookupError),
    (asyncio.CancelledError(), Outcome.FAILED, Cause.SEND_CRASHED, SourceCrashed),
    (KeyboardInterrupt(), Outcome.FAILED, Cause.SEND_CRASHED, SourceCrashed),
]


@implementations
@pytest.mark.parametrize(
    ("fault", "outcome", "cause", "error"), FAULTS, ids=[type(fault).__name__ for fault, *_ in FAULTS]
)
async def test_one_that_cannot_be_sent_ends_the_stream(
    implementation: Callable[..., Any],
    fault: BaseException,
    outcome: Outcome,
    cause: Cause,
    error: type[BaseException] | None,
) -> None:
    diary = Diary()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await response(diary)(scope, receive, send)
        except Exception as raised:
            diary(type(raised).__name__)

    client = Client(implementation, app)
    await client.began()
    await asyncio.sleep(1)
    client.wire.fault = fault
    await asyncio.sleep(EVERY)
    client.wire.fault = None
    await client.leave()
    (ending,) = endings
    assert (ending.outcome, ending.cause) == (outcome, cause)
    assert (ending.error and type(ending.error)) is error
    assert ending.duration == pytest.approx(EVERY, abs=LATE)
    assert (ending.heartbeats, ending.chunks) == (0, 1)
    assert diary.words == ["cleaned", *([error.__name__] if error else [])]


# -- what Starlette has around a send ------------------------------------------------------------------------


@pytest.mark.parametrize("make", [starlette, fastapi], ids=["Starlette", "FastAPI"])
async def test_what_starlette_puts_around_send_is_known_by_name(make: Callable[[], ASGIApp]) -> None:
    client = Client(H11Protocol, make())
    await client.began()
    send: Any = connections[0]._send
    found = []
    while not hasattr(send, "__self__"):
        found.append((send.__module__, send.__code__.co_qualname))
        cells = dict(zip(send.__code__.co_freevars, send.__closure__, strict=True))
        assert "send" in cells, f"{found[-1]} keeps the send below it by another name: see is_own_send"
        send = cells["send"].cell_contents
    assert not set(found) - _SENDS, (
        "this Starlette has other functions around an endpoint's send. See what they do: if each looks at "
        "the message and hands it on, name them in endwell.asgi._uvicorn._SENDS, beside those of older "
        "versions. If one waits for anything of its own, leave them out: heartbeats need a task then."
    )
    await client.leave()
