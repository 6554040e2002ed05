"""What an application asks of its streams: who is active, stop this one, tell me of every ending."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from fastapi import FastAPI

from endwell import Ending, Outcome, Policy, Snapshot, StopResult, Streams
from tests.ext.visits import Client, Endings, fetch, turns


@pytest.fixture
def streams() -> Streams:
    return Streams(policy=Policy(heartbeat=None))


@pytest.fixture
def app(streams: Streams) -> FastAPI:
    app = FastAPI()

    @app.get("/room/{room}")
    @streams.sse
    async def talk(room: str) -> AsyncIterator[str]:
        yield room
        await asyncio.sleep(1000)

    @app.get("/short")
    @streams.bytes()
    async def short() -> AsyncIterator[str]:
        yield "abc"

    @app.post("/stop/{stream}")
    async def stop(stream: str) -> bool:
        return bool(streams.stop(stream, "user"))

    @app.post("/stop-in-a-thread/{stream}")
    def stop_in_a_thread(stream: str) -> bool:
        return bool(streams.stop(stream, "user"))

    return app


async def begin(app: FastAPI, room: str = "7") -> Client:
    client = Client(app, f"/room/{room}")
    await client.got(b"data: %b\n\n" % room.encode())
    return client


# -- active() ------------------------------------------------------------------------------------------------


async def test_active_streams_are_listed_oldest_first(streams: Streams, app: FastAPI) -> None:
    clients = [await begin(app, "1")]
    await asyncio.sleep(2)
    clients.append(await begin(app, "22"))
    old, young = streams.active()
    assert isinstance(old, Snapshot)
    assert [old.route, young.route] == ["/room/{room}"] * 2
    assert (old.age, old.state, old.chunks, old.bytes) == (2, "open", 1, len(b"data: 1\n\n"))
    assert (young.age, young.chunks, young.bytes) == (0, 1, len(b"data: 22\n\n"))
    assert old.id != young.id
    for client in clients:
        client.leave()
        await client.finished()
    assert streams.active() == []


async def test_a_stream_without_a_chunk_is_held(streams: Streams, app: FastAPI) -> None:
    @app.get("/silent")
    @streams.sse
    async def silent() -> AsyncIterator[str]:
        await asyncio.sleep(1000)
        yield "a"

    client = Client(app, "/silent")
    await turns()
    (snapshot,) = streams.active()
    assert (snapshot.state, snapshot.chunks) == ("held", 0)
    client.leave()
    await client.finished()


async def test_a_stream_in_its_cleanup_is_closing(streams: Streams, app: FastAPI) -> None:
    @app.get("/slow")
    @streams.sse
    async def slow() -> AsyncIterator[str]:
        try:
            yield "a"
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(5)

    client = Client(app, "/slow")
    await client.got(b"data: a\n\n")
    client.leave()
    await asyncio.sleep(1)
    assert [each.state for each in streams.active()] == ["closing"]
    await client.finished()


# -- stop() --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", ["stop", "stop-in-a-thread"])
async def test_a_stop_button_stops_one_stream(streams: Streams, app: FastAPI, stop: str) -> None:
    """A `def` endpoint is the natural one, and FastAPI runs it in a thread."""
    endings = Endings(streams)
    stopped, other = await begin(app, "1"), await begin(app, "2")
    button = await fetch(app, f"/{stop}/{streams.active()[0].id}", send={})
    assert button.json() is True
    await stopped.finished()
    assert asyncio.get_running_loop().time() == 0
    assert stopped.events == ["error"]
    assert '"code":"stopped"' in stopped.data[-1]
    ending = await endings.only()
    assert (ending.outcome, ending.reason) == (Outcome.STOPPED, "user")
    assert not other.complete
    other.leave()
    await other.finished()


async def test_what_is_not_there_or_ends_already_is_not_stopped(streams: Streams, app: FastAPI) -> None:
    client = await begin(app)
    (snapshot,) = streams.active()
    assert await streams.stop("no such stream") == StopResult.UNKNOWN
    assert streams.stop(snapshot.id)
    assert await streams.stop(snapshot.id, "again") == StopResult.ALREADY_ENDED
    await client.finished()
    assert await streams.stop(snapshot.id) == StopResult.ALREADY_ENDED


async def test_a_stopped_raw_stream_is_cut(streams: Streams, app: FastAPI) -> None:
    @app.get("/raw")
    @streams.bytes()
    async def raw() -> AsyncIterator[str]:
        yield "abc"
        await asyncio.sleep(1000)

    client = Client(app, "/raw")
    await client.until(lambda: bool(client.body))
    assert await streams.stop(streams.active()[0].id)
    assert type(await client.over()).__name__ == "StreamCut"
    assert client.was_cut


async def test_streams_can_be_watched_from_threads(streams: Streams, app: FastAPI) -> None:
    """A metrics exporter lists them while the event loop starts and ends them."""
    failures: list[BaseException] = []
    finished = threading.Event()

    def watch() -> None:
        try:
            while not finished.is_set():
                streams.active()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=watch)
    thread.start()
    clients = [await begin(app, str(number)) for number in range(50)]
    for client in clients:
        client.leave()
        await client.finished()
    finished.set()
    thread.join()
    assert failures == []


# -- on_end() ------------------------------------------------------------------------------------------------


async def test_every_ending_is_told_once_to_every_callback(streams: Streams, app: FastAPI) -> None:
    told: list[tuple[str, Outcome, bool]] = []

    def note(kind: str, ending: Ending) -> None:
        told.append((kind, ending.outcome, threading.current_thread() is threading.main_thread()))

    @streams.on_end
    async def later(ending: Ending) -> None:
        note("async", ending)

    @streams.on_end
    def bill(ending: Ending) -> None:
        note("sync", ending)

    async with streams.lifespan(app):  # waits for both
        await fetch(app, "/short")
    assert sorted(told) == [("async", Outcome.COMPLETED, True), ("sync", Outcome.COMPLETED, False)]


def test_on_end_gives_the_function_back(streams: Streams) -> None:
    def bill(_: Ending) -> None: ...

    assert streams.on_end(bill) is bill


async def test_a_callback_that_raises_harms_neither_stream_nor_neighbour(
    streams: Streams, app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    @streams.on_end
    async def broken(_: Ending) -> None:
        raise ValueError("broken")

    endings = Endings(streams)
    client = await fetch(app, "/short")
    assert client.body == b"abc"
    assert (await endings.only()).outcome == "completed"
    assert "broken" in caplog.text


async def test_an_ending_says_what_there_was(streams: Streams, app: FastAPI) -> None:
    @app.get("/counted")
    @streams.sse
    async def counted() -> AsyncIterator[str]:
        try:
            await asyncio.sleep(1)
            yield "a"
            await asyncio.sleep(2)
            yield "b"
        finally:
            await asyncio.sleep(3)

    endings = Endings(streams)
    client = await fetch(app, "/counted")
    ending = await endings.only()
    assert ending.route == "/counted"
    assert ending.time_to_first_chunk == 1
    assert (ending.chunks, ending.bytes, ending.heartbeats) == (2, len(client.body), 0)
    assert (ending.error, ending.reference, ending.reason, ending.cleanup_errors) == (None, None, None, ())
    assert ending.overdue is False
    assert ending.started.tzinfo is not None


async def test_every_ending_is_one_line_in_the_log(
    streams: Streams, app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "endwell")
    client = await begin(app)
    client.leave()
    await client.finished()
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert record.getMessage().startswith("client_gone after 1 chunk in 0.000 s")
    assert "/room/{room}" in record.getMessage()
    assert "/room/7" not in record.getMessage()


def test_streams_of_two_applications_know_nothing_of_each_other() -> None:
    first, second = Streams(), Streams(policy=Policy(send=3))
    told: list[Any] = []
    first.on_end(told.append)
    assert (first.policy.send, second.policy.send) == (30, 3)
    assert second.active() == []


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_source_that_fails_is_one_error_line_with_the_clients_reference(
    streams: Streams, app: FastAPI, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    @app.get("/async")
    @streams.sse
    async def fail() -> AsyncIterator[str]:
        yield "a"
        raise ValueError("secret")

    @app.get("/sync")
    @streams.sse
    def sync_fail() -> Iterator[str]:
        yield "a"
        raise ValueError("secret")

    client = Client(app, f"/{kind}")
    assert isinstance(await client.over(), ValueError)
    (record,) = [record for record in caplog.records if record.name == "endwell"]
    assert record.levelno == logging.ERROR
    reference = getattr(record, "ending").reference  # noqa: B009
    assert reference in record.getMessage()
    assert reference.encode() in client.frames[-1]
    assert b"secret" not in client.body
