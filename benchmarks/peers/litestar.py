"""Litestar's ServerSentEvent. It has no heartbeat of its own: an application writes it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from litestar import Litestar, Request, get
from litestar.response import Response, ServerSentEvent
from litestar.response.sse import ServerSentEventMessage
from litestar.serialization import encode_json

from benchmarks.event import Token
from benchmarks.peers._idle import with_heartbeat
from benchmarks.peers._mounts import number_of

if TYPE_CHECKING:
    from litestar.handlers import HTTPRouteHandler
    from starlette.types import ASGIApp

    from benchmarks.peers._mounts import Mount
    from benchmarks.scene import Page, Scene, Source

MOUNTS: tuple[Mount, ...] = ("routed",)


def application(scene: Scene, mount: Mount) -> ASGIApp:
    """A handler for each path."""
    streams = [_stream(path, source, scene.heartbeat) for path, source in scene.streams.items()]
    pages = [_page(path, page) for path, page in scene.pages.items()]
    app: Any = Litestar([*streams, *pages], openapi_config=None, logging_config=None)
    asgi: ASGIApp = app
    return asgi


def _stream(path: str, source: Source, heartbeat: float | None) -> HTTPRouteHandler:
    @get(path)
    async def stream(request: Request[Any, Any, Any]) -> ServerSentEvent:
        events = source(number_of(request.scope))
        return ServerSentEvent(_events(events) if heartbeat is None else _events_and_pings(events, heartbeat))

    return stream


def _page(path: str, page: Page) -> HTTPRouteHandler:
    @get(path)
    async def answer() -> Response[bytes]:
        return Response(page(), media_type="application/octet-stream")

    return answer


async def _events(source: AsyncIterator[Token]) -> AsyncIterator[str]:
    async for event in source:
        yield encode_json(event).decode()


async def _events_and_pings(
    source: AsyncIterator[Token], seconds: float
) -> AsyncIterator[str | ServerSentEventMessage]:
    async for event in with_heartbeat(source, seconds):
        yield encode_json(event).decode() if event else ServerSentEventMessage(comment="ping")
