"""Behind BaseHTTPMiddleware and GZipMiddleware a stream is what it is without them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import starlette
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from starlette.middleware.gzip import GZipMiddleware

from endwell import Streams
from tests.ext.visits import Client, Endings, fetch
from tests.virtual_time import VirtualTimeLoop

Next = Callable[[Request], Awaitable[Response]]
STARTS_AGAIN = tuple(map(int, starlette.__version__.split(".")[:2])) < (1, 10)
"""Starlette up to 1.3 gives the server a second start when a body is cut behind its GZipMiddleware, which any
server refuses; 1.10 does not."""

FORMATS: dict[str, Callable[[Streams], Any]] = {
    "sse": lambda streams: streams.sse,
    "ndjson": lambda streams: streams.ndjson,
    "bytes": lambda streams: streams.bytes(media_type="text/plain"),
}
FIRST = {"sse": b"data: a\n\n", "ndjson": b'"a"\n', "bytes": b"a"}
SECOND = {"sse": b"data: b\n\n", "ndjson": b'"b"\n', "bytes": b"b"}


async def through(request: Request, call_next: Next) -> Response:
    response = await call_next(request)
    response.headers["x-through"] = "1"
    return response


async def reading(request: Request, call_next: Next) -> Response:
    await request.body()
    return await call_next(request)


class Scene:
    """An application whose streams are behind middlewares, and what happened in it."""

    def __init__(self, *middlewares: Any, kind: str = "sse") -> None:
        self.app, self.streams = FastAPI(), Streams()
        self.endings = Endings(self.streams)
        self.happened: list[str] = []
        for middleware in middlewares:
            self.app.middleware("http")(middleware)
        decorate = FORMATS[kind](self.streams)
        self.app.get("/{how}", dependencies=[Depends(self.session)])(decorate(self.talk))
        self.app.post("/{how}", dependencies=[Depends(self.session)])(decorate(self.talk))

    async def session(self) -> AsyncIterator[None]:
        try:
            yield
        except BaseException as error:
            self.happened.append(type(error).__name__)
            raise
        finally:
            await asyncio.sleep(1)
            self.happened.append("session closed")

    async def talk(self, how: str) -> AsyncIterator[str]:
        try:
            if how == "early":
                raise HTTPException(404)
            if how == "silent":
                await asyncio.sleep(1000)
            yield "a"
            await asyncio.sleep(1)
            if how == "fails":
                raise ValueError("secret")
            if how == "waits":
                await asyncio.sleep(1000)
            yield "b"
        finally:
            await asyncio.sleep(1)
            self.happened.append("source cleaned up")


LAYERS = [[through], [through, through], [reading], [through, reading]]


@pytest.fixture(params=LAYERS, ids=lambda layers: "-".join(layer.__name__ for layer in layers))
def layers(request: pytest.FixtureRequest) -> list[Any]:
    return list(request.param)


# -- BaseHTTPMiddleware --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
async def test_a_stream_passes_through(layers: list[Any], kind: str) -> None:
    scene = Scene(*layers, kind=kind)
    client = await fetch(scene.app, "/ends")
    assert client.body.startswith(FIRST[kind])
    assert len(client.pieces) == 2
    assert (await scene.endings.only()).outcome == "completed"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("how", ["waits", "silent"])
async def test_a_leaving_client_is_noticed(layers: list[Any], how: str, method: str) -> None:
    scene = Scene(*layers)
    client = Client(scene.app, f"/{how}", method=method)
    if how == "waits":
        await client.got(b"data: a\n\n")
    await asyncio.sleep(2)
    client.leave()
    await client.over()
    assert scene.happened[0] == "source cleaned up"
    assert scene.happened[-1] == "session closed"
    ending = await scene.endings.only()
    assert (ending.outcome, ending.duration, ending.cleanup) == ("client_gone", 2, 1)


async def test_a_client_that_leaves_at_once_is_noticed(layers: list[Any]) -> None:
    scene = Scene(*layers)
    client = Client(scene.app, "/waits")
    client.leave()
    await client.over()
    assert len(scene.happened) == 0 or scene.happened[-1] == "session closed"
    assert [ending.outcome for ending in scene.endings] in ([], ["client_gone"])


@pytest.mark.parametrize("kind", ["sse", "ndjson"])
async def test_a_failed_stream_tells_of_its_error(layers: list[Any], kind: str) -> None:
    scene = Scene(*layers, kind=kind)
    client = Client(scene.app, "/fails")
    assert isinstance(await client.over(), ValueError)
    assert b'"code":"internal_error"' in client.frames[-1]
    assert b"secret" not in client.body
    assert scene.happened == ["source cleaned up", "ValueError", "session closed"]


def test_a_failed_raw_stream_does_not_end_as_if_it_were_whole(layers: list[Any]) -> None:
    async def fail() -> None:
        scene = Scene(*layers, kind="bytes")
        client = Client(scene.app, "/fails")
        assert await client.over() is not None
        assert client.body == b"a"
        assert not client.complete
        assert (await scene.endings.only()).outcome == "failed"

    # Without the census: BaseHTTPMiddleware leaves its own generator suspended when a server's send raises.
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(fail())


async def test_an_early_error_is_an_http_error(layers: list[Any]) -> None:
    scene = Scene(*layers)
    client = await fetch(scene.app, "/early")
    assert (client.status, client.json()) == (404, {"detail": "Not Found"})


async def test_a_stop_is_told(layers: list[Any]) -> None:
    scene = Scene(*layers)
    client = Client(scene.app, "/waits")
    await client.got(b"data: a\n\n")
    assert scene.streams.stop(scene.streams.active()[0].id, "enough")
    await client.finished()
    assert client.events == ["error"]
    assert (await scene.endings.only()).reason == "enough"


async def test_head_is_headers_only(layers: list[Any]) -> None:
    scene = Scene(*layers)
    scene.app.head("/{how}")(scene.streams.sse(scene.talk))
    client = await fetch(scene.app, "/ends", method="HEAD")
    assert (client.status, client.body, scene.happened) == (200, b"", [])


# -- GZipMiddleware ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
async def test_a_compressing_middleware_holds_no_chunk_back(kind: str) -> None:
    """BAD-INPUTS 14."""
    scene = Scene(kind=kind)
    scene.app.add_middleware(GZipMiddleware, minimum_size=1)
    client = Client(scene.app, "/ends", headers=[(b"accept-encoding", b"gzip")])
    await client.got(FIRST[kind])
    assert asyncio.get_running_loop().time() == 0
    assert client.headers["content-encoding"] != "gzip"
    await client.finished()
    assert client.pieces == [FIRST[kind], SECOND[kind]]


async def test_a_compressing_middleware_hides_no_cut() -> None:
    scene = Scene(kind="bytes")
    scene.app.add_middleware(GZipMiddleware, minimum_size=1)
    client = Client(scene.app, "/fails", headers=[(b"accept-encoding", b"gzip")])
    await asyncio.wait([client.task])
    assert isinstance(client.task.exception(), ValueError)
    assert (client.body, client.complete) == (b"a", False)
    assert client.violations == (["a second http.response.start"] if STARTS_AGAIN else [])


async def test_both_middlewares_together(layers: list[Any]) -> None:
    scene = Scene(*layers)
    scene.app.add_middleware(GZipMiddleware, minimum_size=1)
    client = Client(scene.app, "/waits", headers=[(b"accept-encoding", b"gzip")])
    await client.got(b"data: a\n\n")
    client.leave()
    await client.over()
    assert (await scene.endings.only()).outcome == "client_gone"
