"""endwell's `@streams.sse` on an endpoint, in Starlette's routing or FastAPI's: what most write."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.event import Token
from benchmarks.peers._mounts import in_fastapi, number_of
from endwell import Policy, Streams

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from benchmarks.peers._mounts import Mount
    from benchmarks.scene import Page, Scene, Source

MOUNTS: tuple[Mount, ...] = ("routed",)  # and FastAPI's, where it is asked for


def application(scene: Scene, mount: Mount) -> ASGIApp:
    """An endpoint for each path."""
    streams = Streams(policy=Policy() if scene.heartbeat is None else Policy(heartbeat=scene.heartbeat))
    endpoints = {
        **{path: streams.sse(_stream(source)) for path, source in scene.streams.items()},
        **{path: _page(page) for path, page in scene.pages.items()},
    }
    if mount == "fastapi":
        return in_fastapi(endpoints, streams.lifespan)
    return Starlette(
        routes=[Route(path, endpoint) for path, endpoint in endpoints.items()], lifespan=streams.lifespan
    )


def _stream(source: Source) -> Any:
    async def stream(request: Request) -> AsyncIterator[Token]:
        async for event in source(number_of(request.scope)):
            yield event

    return stream


def _page(page: Page) -> Any:
    async def answer(request: Request) -> Response:
        return Response(page())

    return answer
