"""`current_stream()` inside an endpoint's source, and only there."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI

from endwell import CurrentStream, Ending, NoCurrentStream, Streams, current_stream
from tests.ext.visits import Client, Endings, fetch, turns

seen: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_seen_yet() -> None:
    seen.clear()


@pytest.fixture
def streams() -> Streams:
    return Streams()


@pytest.fixture
def app() -> FastAPI:
    return FastAPI()


def _look() -> CurrentStream | None:
    try:
        return current_stream()
    except NoCurrentStream:
        return None


# -- where ---------------------------------------------------------------------------------------------------


async def around() -> AsyncIterator[CurrentStream | None]:
    yield _look()
    seen.append(_look())


def sync_around() -> Iterator[CurrentStream | None]:
    yield _look()
    seen.append(_look())


async def test_it_is_seen_by_the_source_and_not_by_dependencies(streams: Streams, app: FastAPI) -> None:
    @app.get("/")
    @streams.sse
    async def look(
        before: Annotated[Any, Depends(around)], sync_before: Annotated[Any, Depends(sync_around)]
    ) -> AsyncIterator[Any]:
        seen.extend([before, sync_before])
        yield current_stream().id

    await fetch(app)
    assert seen == [None, None, None, None]


async def test_it_is_seen_by_a_sync_source(streams: Streams, app: FastAPI) -> None:
    @app.get("/")
    @streams.sse
    def look() -> Iterator[str]:
        try:
            yield current_stream().id
        finally:
            seen.append(current_stream().id)

    assert (await fetch(app)).data == seen


async def test_it_is_seen_by_cleanup_and_by_what_is_spawned(streams: Streams, app: FastAPI) -> None:
    async def child() -> None:
        seen.append(current_stream().id)

    @app.get("/")
    @streams.sse
    async def look() -> AsyncIterator[str]:
        try:
            await current_stream().spawn(child())
            yield current_stream().id
        finally:
            await asyncio.sleep(1)
            seen.append(current_stream().id)

    client = await fetch(app)
    assert seen == client.data * 2


async def test_it_is_not_seen_by_callbacks_or_elsewhere(streams: Streams, app: FastAPI) -> None:
    @streams.on_end
    async def told(_: Ending) -> None:
        seen.append(_look())

    @app.get("/")
    @streams.sse
    async def look() -> AsyncIterator[str]:
        yield "a"

    await fetch(app)
    await turns()
    assert seen == [None]
    with pytest.raises(NoCurrentStream, match="inside a source"):
        current_stream()


async def test_a_streams_source_called_by_hand_has_none(streams: Streams) -> None:
    async def look() -> AsyncIterator[str]:
        yield current_stream().id

    response = await streams.sse(look)()
    with pytest.raises(NoCurrentStream):
        current_stream()
    assert (await fetch(response)).data


# -- what it has ---------------------------------------------------------------------------------------------


async def test_its_id_is_the_endings_and_the_snapshots(streams: Streams, app: FastAPI) -> None:
    endings = Endings(streams)

    @app.get("/")
    @streams.sse
    async def look() -> AsyncIterator[Any]:
        yield current_stream().id
        yield streams.active()[0].id

    client = await fetch(app)
    assert client.data == [(await endings.only()).id] * 2


async def test_what_it_owns_is_released_after_the_source_in_reverse(streams: Streams, app: FastAPI) -> None:
    class Upstream:
        async def aclose(self) -> None:
            seen.append("upstream")

    @app.get("/")
    @streams.sse
    async def own() -> AsyncIterator[str]:
        upstream = current_stream().owns(Upstream())
        assert isinstance(upstream, Upstream)
        current_stream().owns(lambda: seen.append("function"))
        try:
            yield "a"
        finally:
            seen.append("source")

    await fetch(app)
    assert seen == ["source", "function", "upstream"]


@pytest.mark.parametrize("is_async", [True, False])
async def test_its_on_end_is_told_once(streams: Streams, app: FastAPI, is_async: bool) -> None:
    async def later(ending: Ending) -> None:
        seen.append(ending)

    @app.get("/")
    @streams.sse
    async def end() -> AsyncIterator[str]:
        current_stream().on_end(later if is_async else seen.append)
        yield current_stream().id

    async with streams.lifespan(app):  # waits for it
        client = await fetch(app)
    assert [(ending.id, ending.outcome) for ending in seen] == [(client.data[0], "completed")]


async def test_the_source_can_stop_itself(streams: Streams, app: FastAPI) -> None:
    endings = Endings(streams)

    @app.get("/")
    @streams.sse
    async def stop() -> AsyncIterator[str]:
        try:
            yield "a"
            seen.append(current_stream().stop("enough"))
            seen.append(current_stream().stop("twice"))
            yield "never sent"
        finally:
            await asyncio.sleep(1)
            seen.append("cleaned up")

    client = await fetch(app)
    assert client.events == ["error"]
    assert client.data[0] == "a"
    assert len(client.data) == 2
    assert seen == [True, False, "cleaned up"]
    ending = await endings.only()
    assert (ending.outcome, ending.reason, ending.chunks) == ("stopped", "enough", 1)


async def test_a_sync_source_can_stop_itself(streams: Streams, app: FastAPI) -> None:
    endings = Endings(streams)

    @app.get("/")
    @streams.sse
    def stop() -> Iterator[str]:
        yield "a"
        current_stream().stop("enough")
        for _ in range(10_000):
            yield "more"

    await fetch(app)
    ending = await endings.only()
    assert (ending.outcome, ending.reason) == ("stopped", "enough")


async def test_what_it_spawned_ends_with_it(streams: Streams, app: FastAPI) -> None:
    async def beside() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(1)
            seen.append("spawned")

    @app.get("/")
    @streams.sse
    async def spawn() -> AsyncIterator[str]:
        task = current_stream().spawn(beside())
        await asyncio.sleep(1)
        yield repr(task.done())

    assert (await fetch(app)).data == ["False"]
    assert seen == ["spawned"]


async def test_what_fails_beside_it_fails_it(streams: Streams, app: FastAPI) -> None:
    async def beside() -> None:
        await asyncio.sleep(1)
        raise ValueError("secret")

    @app.get("/")
    @streams.sse
    async def spawn() -> AsyncIterator[str]:
        _ = current_stream().spawn(beside())
        yield "a"
        await asyncio.sleep(1000)

    client = Client(app)
    assert isinstance(await client.over(), ValueError)
    assert client.events == ["error"]


async def test_gone_is_false_then_true_and_can_be_awaited(streams: Streams, app: FastAPI) -> None:
    async def watch(stream: CurrentStream) -> None:
        await stream.gone
        seen.append(bool(stream.gone))

    @app.get("/")
    @streams.sse
    async def leave() -> AsyncIterator[str]:
        stream = current_stream()
        seen.append(bool(stream.gone))
        watcher = asyncio.create_task(watch(stream))
        try:
            yield "a"
            await asyncio.sleep(1000)
        finally:
            await watcher

    client = Client(app)
    await client.got(b"data: a\n\n")
    client.leave()
    await client.finished()
    assert seen == [False, True]


@pytest.mark.parametrize("how", ["ends", "stops"])
async def test_gone_stays_false_for_a_client_that_is_there(streams: Streams, app: FastAPI, how: str) -> None:
    @app.get("/")
    @streams.sse
    async def stay() -> AsyncIterator[str]:
        stream = current_stream()
        try:
            yield "a"
            if how == "stops":
                stream.stop()
                await asyncio.sleep(1)
        finally:
            seen.append(bool(stream.gone))

    await fetch(app)
    assert seen == [False]


async def test_it_counts_what_was_sent(streams: Streams, app: FastAPI) -> None:
    @app.get("/")
    @streams.bytes()
    async def count() -> AsyncIterator[bytes]:
        seen.append(tuple(current_stream().sent))
        yield b"abc"
        yield b"de"
        await asyncio.sleep(1)
        seen.append(tuple(current_stream().sent))

    await fetch(app)
    assert seen == [(0, 0), (2, 5)]


async def test_a_context_variable_of_a_middleware_is_seen(streams: Streams, app: FastAPI) -> None:
    tenant = contextvars.ContextVar("tenant", default="none")

    def with_tenant(inner: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any) -> None:
            tenant.set("acme")
            await inner(*args)

        return call

    @app.get("/")
    @streams.sse
    async def look() -> AsyncIterator[str]:
        yield tenant.get()
        tenant.set("inside")
        await asyncio.sleep(1)
        yield tenant.get()

    assert (await fetch(with_tenant(app))).data == ["acme", "inside"]
    assert tenant.get() == "none"
