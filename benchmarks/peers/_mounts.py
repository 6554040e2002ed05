"""Ways to mount a peer's response: as a bare ASGI application, in Starlette's routing, and in FastAPI's.

The last is for profiles alone, and FastAPI is imported only when it is asked for. A library whose streams are
endpoints, not responses, writes an `application` of its own instead.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from benchmarks.event import Token
    from benchmarks.scene import Page, Scene, Source

Mount: TypeAlias = Literal["bare", "routed", "fastapi"]
MOUNTS: tuple[Mount, ...] = ("bare", "routed")
Application: TypeAlias = "Callable[[Scene, Mount], ASGIApp]"
Respond: TypeAlias = "Callable[[AsyncIterator[Token], float | None], ASGIApp]"
"""Makes a response from a source and a heartbeat in seconds (None: the peer's default)."""


def mounted(respond: Respond) -> Application:
    """Make a peer's `application` from its response."""

    def application(scene: Scene, mount: Mount) -> ASGIApp:
        return {"bare": _bare, "routed": _routed, "fastapi": _in_fastapi}[mount](scene, respond)

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


def _in_fastapi(scene: Scene, respond: Respond) -> ASGIApp:
    def stream(source: Source) -> Any:
        async def endpoint(request: Request) -> Response:
            return _Shown(respond(source(number_of(request.scope)), scene.heartbeat))

        return endpoint

    def page(make: Page) -> Any:
        async def endpoint() -> Response:
            return Response(make())

        return endpoint

    return in_fastapi(
        {
            **{path: stream(source) for path, source in scene.streams.items()},
            **{path: page(make) for path, make in scene.pages.items()},
        }
    )


class _Shown(Response):
    """An application as a response, which is what FastAPI passes on as it is."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__()
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def in_fastapi(endpoints: Mapping[str, Any], lifespan: Any = None) -> ASGIApp:
    """FastAPI, with an endpoint for each path."""
    from fastapi import FastAPI  # noqa: PLC0415 (not everybody has it)

    app = FastAPI(openapi_url=None, lifespan=lifespan)
    for path, endpoint in endpoints.items():
        app.get(path)(endpoint)
    return app


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
