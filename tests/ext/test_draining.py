"""A signal drains: streams end in good order before the server stops, and handlers are put back."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from types import FrameType
from typing import Any

import pytest
from fastapi import FastAPI

from endwell import EventStream, Policy, Streams
from tests.ext.visits import Client, Endings, fetch, running, turns

SIGNALS = [signal.SIGTERM, signal.SIGINT]


class Server:
    """What a server installs for signals."""

    def __init__(self) -> None:
        self.heard: list[int] = []

    def handle(self, number: int, frame: FrameType | None) -> None:
        self.heard.append(number)


@pytest.fixture
def server() -> Iterator[Server]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    server = Server()
    for number in SIGNALS:
        signal.signal(number, server.handle)
    yield server
    handlers = [signal.getsignal(number) for number in SIGNALS]
    for number, handler in before.items():
        signal.signal(number, handler)
    assert handlers == [server.handle] * 2, "a handler was not put back"


async def talk() -> AsyncIterator[str]:
    try:
        yield "a"
        await asyncio.sleep(1000)
    finally:
        await asyncio.sleep(1)


def application(streams: Streams) -> FastAPI:
    app = FastAPI(lifespan=streams.lifespan)
    app.get("/sse")(streams.sse(talk))
    app.get("/ndjson")(streams.ndjson(talk))
    app.get("/bytes")(streams.bytes()(talk))

    @app.get("/bare")
    async def bare() -> EventStream:
        return EventStream(talk())

    return app


def retry(client: Client) -> int:
    (line,) = [line for line in client.frames[-1].decode().split("\n") if line.startswith("retry:")]
    return int(line.removeprefix("retry: "))


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("target", ["/sse", "/bare"])
async def test_a_signal_ends_streams_with_a_farewell(server: Server, number: int, target: str) -> None:
    streams = Streams(policy=Policy(retry=(2000, 2500)))
    endings = Endings(streams)
    app = application(streams)
    async with running(app) as state:
        client = Client(app, target, state=state)
        await client.got(b"data: a\n\n")
        signal.raise_signal(number)
        await client.finished()
        assert client.events == ["error"]
        assert '"code":"drained"' in client.data[-1]
        assert 2000 <= retry(client) <= 2500
        assert server.heard == [number]
        assert (await endings.only()).outcome == "drained"


@pytest.mark.parametrize(
    ("target", "farewell"), [("/ndjson", b'{"error":{"code":"drained"'), ("/bytes", b"")]
)
async def test_other_formats_have_a_farewell_of_their_own(
    server: Server, target: str, farewell: bytes
) -> None:
    streams = Streams()
    app = application(streams)
    async with running(app) as state:
        client = Client(app, target, state=state)
        await client.until(lambda: bool(client.pieces))
        signal.raise_signal(signal.SIGTERM)
        await client.over()
    assert client.body.startswith(b'"a"\n' + farewell if farewell else b"a")
    assert client.was_cut is (target == "/bytes")
    assert client.complete is (target == "/ndjson")


async def test_retry_is_spread_over_a_fleets_clients(server: Server) -> None:
    streams = Streams()
    app = application(streams)
    async with running(app) as state:
        clients = [Client(app, "/sse", state=state) for _ in range(20)]
        for client in clients:
            await client.got(b"data: a\n\n")
        signal.raise_signal(signal.SIGTERM)
        for client in clients:
            await client.finished()
    waits = [retry(client) for client in clients]
    assert len(set(waits)) > 10
    assert all(1000 <= wait <= 3000 for wait in waits)


async def test_no_retry_is_named_where_the_policy_has_none(server: Server) -> None:
    streams = Streams(policy=Policy(retry=None))
    app = application(streams)
    async with running(app) as state:
        client = Client(app, "/sse", state=state)
        await client.got(b"data: a\n\n")
        signal.raise_signal(signal.SIGTERM)
        await client.finished()
    assert b"retry:" not in client.body


@pytest.mark.parametrize("target", ["/sse", "/bare", "/ndjson", "/bytes"])
async def test_a_request_that_comes_while_draining_is_sent_elsewhere(server: Server, target: str) -> None:
    streams = Streams()
    app = application(streams)
    async with running(app) as state:
        signal.raise_signal(signal.SIGTERM)
        await turns()
        client = await fetch(app, target, state=state)
        assert client.status == 503
        assert client.headers["retry-after"].isdigit()
        assert client.json()["error"]["code"] == "drained"


async def test_the_servers_handler_runs_once_for_each_signal(server: Server) -> None:
    async with running(application(Streams())):
        for _ in range(3):
            signal.raise_signal(signal.SIGTERM)
        await turns()
    assert server.heard == [signal.SIGTERM] * 3


async def test_after_the_lifespan_the_servers_handler_is_back(server: Server) -> None:
    async with running(application(Streams())):
        assert signal.getsignal(signal.SIGTERM) != server.handle
    assert signal.getsignal(signal.SIGTERM) == server.handle


async def test_handlers_are_put_back_when_the_lifespan_is_cancelled(server: Server) -> None:
    manager = Streams().lifespan(FastAPI())

    async def run() -> None:
        async with manager:
            await asyncio.sleep(1000)

    task = asyncio.create_task(run())
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("first_out", [0, 1])
async def test_two_applications_put_the_handler_back_in_any_order(server: Server, first_out: int) -> None:
    """BAD-INPUTS 49: two servers in one process end when they like."""
    lifespans = [Streams().lifespan(FastAPI()) for _ in range(2)]
    for lifespan in lifespans:
        await lifespan.__aenter__()
    for lifespan in (lifespans[first_out], lifespans[1 - first_out]):
        await lifespan.__aexit__(None, None, None)
    signal.raise_signal(signal.SIGTERM)
    assert server.heard == [signal.SIGTERM]


async def test_one_application_that_has_ended_hears_nothing_any_more(server: Server) -> None:
    first, second = Streams(), Streams()
    lifespans = [first.lifespan(FastAPI()), second.lifespan(FastAPI())]
    for lifespan in lifespans:
        await lifespan.__aenter__()
    await lifespans[0].__aexit__(None, None, None)
    async with running(application(first)):  # runs again, while the second still does
        signal.raise_signal(signal.SIGTERM)
        await turns()
        assert server.heard == [signal.SIGTERM]
    await lifespans[1].__aexit__(None, None, None)


async def test_a_handler_that_was_put_on_top_stays_and_still_reaches_the_server(server: Server) -> None:
    """Somebody chains after us, and is still there when we are gone."""
    lifespan = Streams().lifespan(FastAPI())
    await lifespan.__aenter__()
    ours: Any = signal.getsignal(signal.SIGTERM)

    def on_top(number: int, frame: FrameType | None) -> None:
        ours(number, frame)

    signal.signal(signal.SIGTERM, on_top)
    await lifespan.__aexit__(None, None, None)
    assert signal.getsignal(signal.SIGTERM) is on_top
    signal.raise_signal(signal.SIGTERM)
    assert server.heard == [signal.SIGTERM]
    signal.signal(signal.SIGTERM, server.handle)


def test_a_handler_that_outlives_its_loop_still_reaches_the_server(server: Server) -> None:
    lifespan = Streams().lifespan(FastAPI())
    with asyncio.Runner() as runner:
        runner.run(lifespan.__aenter__())
    signal.raise_signal(signal.SIGTERM)
    assert server.heard == [signal.SIGTERM]
    for number in SIGNALS:
        signal.signal(number, server.handle)


async def test_a_signal_nobody_handles_is_left_alone() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        async with running(application(Streams())):
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


def test_outside_the_main_thread_it_works_without_signals(server: Server) -> None:
    """A server in a thread, such as a test client's."""
    codes: list[int | None] = []

    async def serve() -> None:
        streams = Streams()
        app = application(streams)
        async with running(app) as state:
            client = Client(app, "/sse", state=state)
            await client.got(b"data: a\n\n")
            assert signal.getsignal(signal.SIGTERM) == server.handle
        await client.finished()
        codes.append(client.status)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    thread.join()
    assert codes == [200]


async def test_a_drain_is_no_error_in_the_log(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    app = application(Streams())
    async with running(app) as state:
        client = Client(app, "/sse", state=state)
        await client.got(b"data: a\n\n")
        signal.raise_signal(signal.SIGTERM)
        await client.finished()
    (record,) = [record for record in caplog.records if record.name == "endwell"]
    assert record.levelno == logging.INFO
    assert record.getMessage().startswith("drained after 1 chunk ")
