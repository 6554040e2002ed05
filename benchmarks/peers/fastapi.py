"""FastAPI's native server-sent events: an endpoint that yields, as its documentation shows it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import fastapi.routing
from fastapi import FastAPI, Request, Response
from fastapi.sse import EventSourceResponse

from benchmarks.event import Token
from benchmarks.peers._mounts import number_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from benchmarks.peers._mounts import Mount
    from benchmarks.scene import Page, Scene, Source

MOUNTS: tuple[Mount, ...] = ("routed",)


def application(scene: Scene, mount: Mount) -> ASGIApp:
    """An endpoint for each path."""
    if scene.heartbeat is not None:  # a constant of theirs, 15 s
        fastapi.routing._PING_INTERVAL = scene.heartbeat  # type: ignore[attr-defined]  # noqa: SLF001
    app = FastAPI(openapi_url=None)
    for path, source in scene.streams.items():
        app.get(path, response_class=EventSourceResponse)(_stream(source))
    for path, page in scene.pages.items():
        app.get(path)(_page(page))
    return app


def _stream(source: Source) -> Callable[[Request], AsyncIterator[Token]]:
    async def stream(request: Request) -> AsyncIterator[Token]:
        async for event in source(number_of(request.scope)):
            yield event

    return stream


def _page(page: Page) -> Callable[[], Any]:
    async def answer() -> Response:
        return Response(page())

    return answer
