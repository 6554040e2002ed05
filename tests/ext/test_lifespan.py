"""`streams.lifespan`: what it adds to the application's state, and what it waits for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.applications import Starlette

from endwell import ConfigurationError, Ending, EventStream, Policy, Streams
from endwell.lifecycle import LAST
from tests.ext.visits import Client, Endings, fetch, running, turns

happened: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_happened_yet() -> None:
    happened.clear()


@asynccontextmanager
async def database(app: Any) -> AsyncIterator[dict[str, Any]]:
    """The application's own lifespan."""
    happened.append("database opened")
    yield {"database": "db"}
    happened.append("database closed")


@asynccontextmanager
async def stateless(app: Any) -> AsyncIterator[None]:
    yield


async def talk() -> AsyncIterator[str]:
    try:
        yield "a"
        await asyncio.sleep(1000)
    finally:
        await asyncio.sleep(1)
        happened.append("source cleaned up")


def application(lifespan: Callable[[Any], Any], streams: Streams) -> FastAPI:
    app = FastAPI(lifespan=lifespan)
    app.get("/decorated")(streams.sse(talk))

    @app.get("/bare")
    async def bare() -> EventStream:
        return EventStream(talk())

    @app.get("/state")
    async def state(request: Request) -> str:
        return str(request.state.database)

    return app


async def test_streams_are_served_while_it_runs() -> None:
    streams = Streams()
    app = application(streams.lifespan, streams)
    async with running(app) as state:
        client = Client(app, "/decorated", state=state)
        await client.got(b"data: a\n\n")
        client.leave()
        await client.finished()


async def test_a_returned_response_belongs_to_the_application() -> None:
    streams = Streams(policy=Policy(heartbeat=2))
    endings = Endings(streams)
    app = application(streams.lifespan, streams)
    async with running(app) as state:
        client = Client(app, "/bare", state=state)
        await client.got(b": ping\n", times=3)
        assert [each.route for each in streams.active()] == ["/bare"]
        assert streams.stop(streams.active()[0].id)
        await client.finished()
    assert (await endings.only()).outcome == "stopped"


async def test_a_returned_response_of_a_mounted_application_belongs_to_it_too() -> None:
    streams = Streams()
    endings = Endings(streams)
    app = Starlette(lifespan=streams.lifespan)
    app.mount("/inner", application(stateless, streams))
    async with running(app) as state:
        client = Client(app, "/inner/bare", state=state)
        await client.got(b"data: a\n\n")
        client.leave()
        await client.finished()
    await endings.only()


async def test_the_states_of_both_lifespans_are_merged() -> None:
    streams = Streams()
    app = application(streams.compose(database), streams)
    async with running(app) as state:
        client = await fetch(app, "/state", state=state)
        assert client.json() == "db"
        bare = Client(app, "/bare", state=state)
        await bare.got(b"data: a\n\n")
        assert len(streams.active()) == 1


@pytest.mark.parametrize("lifespan", [stateless, Streams().compose(stateless), Streams().lifespan])
async def test_lifespans_compose_with_or_without_a_state(lifespan: Callable[[Any], Any]) -> None:
    streams = Streams()
    app = application(streams.compose(lifespan), streams)
    async with running(app) as state:
        client = Client(app, "/bare", state=state)
        await client.got(b"data: a\n\n")
        assert len(streams.active()) == 1
    await client.finished()


async def test_shutdown_waits_for_streams_then_callbacks_then_the_applications_own() -> None:
    streams = Streams()

    @streams.on_end
    async def bill(_: Ending) -> None:
        await asyncio.sleep(1)
        happened.append("billed")

    app = application(streams.compose(database), streams)
    async with running(app) as state:
        clients = [Client(app, f"/{kind}", state=state) for kind in ("decorated", "bare")]
        for client in clients:
            await client.got(b"data: a\n\n")
    for client in clients:
        await client.finished()
    assert happened == [
        "database opened",
        *["source cleaned up"] * 2,
        *["billed"] * 2,
        "database closed",
    ]


async def test_shutdown_waits_for_a_callback_whose_stream_is_long_over() -> None:
    streams = Streams()

    @streams.on_end
    async def bill(_: Ending) -> None:
        await asyncio.sleep(5)
        happened.append("billed")

    @streams.sse
    async def short() -> AsyncIterator[str]:
        yield "a"

    app = application(streams.lifespan, streams)
    app.get("/short")(short)
    async with running(app) as state:
        await fetch(app, "/short", state=state)
        assert happened == []
    assert happened == ["billed"]


@pytest.mark.parametrize("fault", ["stuck source", "hanging callback"])
async def test_shutdown_is_done_by_the_drains_deadline(fault: str) -> None:
    policy = Policy(drain=5, cleanup=4.9)
    streams = Streams(policy=policy)
    loop = asyncio.get_running_loop()

    @streams.sse
    async def swallow() -> AsyncIterator[str]:
        yield "a"
        while fault == "stuck source":
            try:
                await asyncio.sleep(100)
                break
            except asyncio.CancelledError:
                pass

    async def hang(_: Ending) -> None:
        if fault == "hanging callback":
            await asyncio.sleep(100)

    streams.on_end(hang)
    app = application(streams.lifespan, streams)
    app.get("/swallow")(swallow)
    async with running(app) as state:
        client = Client(app, "/swallow", state=state)
        await client.got(b"data: a\n\n")
        began = loop.time()
    assert loop.time() - began <= 5.5
    await client.finished()
    await asyncio.sleep(200)  # what was let go ends by itself, so that nothing is left behind


async def test_a_drain_deadline_of_zero_gives_a_cleanup_no_more_than_a_moment() -> None:
    streams = Streams(policy=Policy(drain=0))
    app = application(streams.lifespan, streams)
    async with running(app) as state:
        client = Client(app, "/decorated", state=state)
        await client.got(b"data: a\n\n")
    assert asyncio.get_running_loop().time() == LAST
    await client.finished()


async def test_an_application_runs_a_second_time() -> None:
    """As in tests, and when a server reloads in one process: draining is over."""
    streams = Streams()
    app = application(streams.lifespan, streams)
    for _ in range(2):
        async with running(app) as state:
            client = Client(app, "/decorated", state=state)
            await client.got(b"data: a\n\n")
            client.leave()
            await client.finished()
            assert client.status == 200


async def test_startup_that_fails_leaves_nothing_installed() -> None:
    streams = Streams()

    @asynccontextmanager
    async def broken(app: Any) -> AsyncIterator[None]:
        raise RuntimeError("no database")
        yield

    with pytest.raises(RuntimeError, match="no database"):
        async with running(application(streams.compose(broken), streams)):
            pass
    assert streams.active() == []


async def test_a_failing_lifespan_of_the_application_still_ends_the_streams() -> None:
    streams = Streams()
    endings = Endings(streams)

    @asynccontextmanager
    async def broken(app: Any) -> AsyncIterator[None]:
        yield
        raise RuntimeError("cannot close")

    app = application(streams.compose(broken), streams)
    server = running(app)
    client = Client(app, "/decorated", state=await server.__aenter__())
    await client.got(b"data: a\n\n")
    with pytest.raises(RuntimeError, match="cannot close"):
        await server.__aexit__(None, None, None)
    await client.finished()
    assert (await endings.only()).outcome == "drained"


async def test_without_a_lifespan_streams_work_and_are_told_of() -> None:
    streams = Streams()
    endings = Endings(streams)
    app = application(stateless, streams)
    client = Client(app, "/decorated")
    await client.got(b"data: a\n\n")
    assert [each.id for each in streams.active()] != []
    client.leave()
    await client.finished()
    assert (await endings.only()).outcome == "client_gone"


async def test_two_applications_in_one_process_end_on_their_own() -> None:
    """BAD-INPUTS 49."""
    first, second = Streams(), Streams()
    staying, leaving = application(first.lifespan, first), application(second.lifespan, second)
    async with running(staying) as state:
        client = Client(staying, "/decorated", state=state)
        async with running(leaving) as other:
            ended = Client(leaving, "/decorated", state=other)
            await ended.got(b"data: a\n\n")
        await ended.finished()
        await turns()
        assert client.data == ["a"]
        assert len(first.active()) == 1
    await client.finished()


def test_two_servers_in_two_threads_cannot_share_one() -> None:
    """Each would end the other's streams, from the wrong thread."""
    streams = Streams()
    app = application(streams.lifespan, streams)

    async def twice() -> None:
        async with running(app):
            with pytest.raises(ConfigurationError, match="one for each server"):
                await asyncio.to_thread(asyncio.run, once())

    async def once() -> None:
        async with running(app):
            pass

    asyncio.run(twice())
    asyncio.run(once())


def test_a_drain_is_for_the_loop_whose_streams_they_are() -> None:
    """From elsewhere it would touch tasks of another loop, and leave the application closed half."""
    streams = Streams()
    app = application(streams.lifespan, streams)

    async def main() -> None:
        async with running(app) as state:
            client = Client(app, "/decorated", state=state)
            await client.got(b"data: a\n\n")
            with pytest.raises(ConfigurationError, match="use run_coroutine_threadsafe"):
                await asyncio.to_thread(asyncio.run, streams.drain())
            assert (streams.draining, len(streams.active())) == (False, 1)
            client.leave()
            await client.finished()

    asyncio.run(main())


@pytest.mark.parametrize("last", ["first", "second"])
async def test_two_servers_on_one_loop_share_one_until_the_last_of_them_ends(last: str) -> None:
    """As uvicorn on two ports."""
    streams = Streams()
    app = application(streams.lifespan, streams)
    servers = {name: running(app) for name in ("first", "second")}
    states = {name: await server.__aenter__() for name, server in servers.items()}
    client = Client(app, "/decorated", state=states[last])
    await client.got(b"data: a\n\n")
    staying = servers.pop(last)
    for server in servers.values():
        await server.__aexit__(None, None, None)
    assert not streams.draining
    assert len(streams.active()) == 1
    assert (await _begun_and_left(app, states[last])).status == 200
    await staying.__aexit__(None, None, None)
    assert streams.draining
    await client.finished()
    assert "drained" in client.data[-1]


async def _begun_and_left(app: FastAPI, state: dict[str, Any]) -> Client:
    client = Client(app, "/decorated", state=state)
    await client.got(b"data: a\n\n")
    client.leave()
    await client.finished()
    return client
