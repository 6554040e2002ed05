"""Two ways to mount a peer's response: as a bare ASGI application, and within Starlette's routing.

A library whose streams are endpoints, not responses, writes an `application` of its own instead.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from benchmarks.event import Token
    from benchmarks.scene import Page, Scene, Source

Mount: TypeAlias = Literal["bare", "routed"]
MOUNTS: tuple[Mount, ...] = ("bare", "routed")
Application: TypeAlias = "Callable[[Scene, Mount], ASGIApp]"
Respond: TypeAlias = "Callable[[AsyncIterator[Token], float | None], ASGIApp]"
"""Makes a response from a source and a heartbeat in seconds (None: the peer's default)."""


def mounted(respond: Respond) -> Application:
    """Make a peer's `application` from its response."""

    def application(scene: Scene, mount: Mount) -> ASGIApp:
        return _bare(scene, respond) if mount == "bare" else _routed(scene, respond)

    return application


def _bare(scene: Scene, respond: Respond) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif source := scene.streams.get(scope["path"]):
            await respond(source(number_of(scope)), scene.heartbeat)(scope, receive, send)
        else:
            await _answer(send, scene.pages[scope["path"]]())

    return app


def _routed(scene: Scene, respond: Respond) -> ASGIApp:
    async def stream(source: Source, request: Request) -> Any:
        return respond(source(number_of(request.scope)), scene.heartbeat)

    async def page(make: Page, request: Request) -> Response:
        return Response(make())

    streams = [Route(path, partial(stream, source)) for path, source in scene.streams.items()]
    return Starlette(
        routes=[*streams, *(Route(path, partial(page, make)) for path, make in scene.pages.items())]
    )


def number_of(scope: Mapping[str, Any]) -> int:
    """The number in the query string."""
    return int(scope["query_string"] or 0)


async def _lifespan(receive: Receive, send: Send) -> None:
    for step in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{step}.complete"})


async def _answer(send: Send, body: bytes) -> None:
    headers = [(b"content-length", str(len(body)).encode()), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
