"""A route is a label: its template, whatever clients ask for (BAD-INPUTS 17).

Without the path it is mounted at: that cannot be had without making labels of what clients ask for.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Host, Mount, Route, Router

from endwell import EventStream, Streams
from endwell.types import ASGIApp
from tests.ext.visits import Client, Endings, fetch, running, turns

# An older Starlette does not say which route it chose: its endpoint's name is the label then.
NAMES_ROUTES = 'scope["route"]' in inspect.getsource(Router.app)


async def talk() -> AsyncIterator[str]:
    yield "a"


async def starlette_talk(request: Request) -> AsyncIterator[str]:
    yield "a"


async def returned() -> Response:
    return EventStream(["a"])


async def starlette_returned(_: Request) -> Response:
    return EventStream(["a"])


def fastapi(streams: Streams) -> ASGIApp:
    app, router, inner, mounted = (
        FastAPI(lifespan=streams.lifespan),
        APIRouter(prefix="/router"),
        APIRouter(),
        FastAPI(),
    )
    decorated = streams.sse(talk)
    app.get("/direct/{room}")(decorated)
    app.get("/returned/{room}")(returned)
    inner.get("/{room}")(decorated)
    router.include_router(inner, prefix="/inner")
    app.include_router(router, prefix="/api/{version}")
    mounted.get("/{room}")(decorated)
    app.mount("/mounted", mounted)
    return app


def starlette(streams: Streams) -> ASGIApp:
    decorated = streams.sse(starlette_talk)
    return Starlette(
        lifespan=streams.lifespan,
        routes=[
            Route("/direct/{room}", decorated),
            Route("/returned/{room:path}", starlette_returned),
            Mount("/mounted/{tenant}", routes=[Route("/{room}", decorated)]),
            Mount("/same/{id}", routes=[Route("/{id}", decorated)]),
            Mount("/number/{n:int}", routes=[Route("/room", decorated)]),
            Mount("/deep/{rest:path}/in", routes=[Route("/room", decorated)]),
            Mount("/outer/{a}", routes=[Mount("/inner/{b}", routes=[Route("/room", decorated)])]),
            Mount("/bare", app=EventStream(["a"])),
            Host("{tenant}.example", Router([Route("/hosted/{room}", decorated)])),
        ],
    )


def unrouted(streams: Streams) -> ASGIApp:
    """An application without a router: one stream, whatever the path."""
    inner = Starlette(lifespan=streams.lifespan)
    stream = EventStream(["a"])

    async def app(scope: object, receive: object, send: object) -> None:
        chosen: ASGIApp = inner if scope["type"] == "lifespan" else stream  # type: ignore[index]
        await chosen(scope, receive, send)  # type: ignore[arg-type]

    return app


@pytest.mark.parametrize(
    ("application", "target", "label"),
    [
        (fastapi, "/direct/7", "/direct/{room}"),
        (fastapi, "/returned/7", "/returned/{room}"),
        (fastapi, "/api/v1/router/inner/7", "/api/{version}/router/inner/{room}"),
        (fastapi, "/mounted/7", "/{room}"),
        (starlette, "/direct/7", "/direct/{room}" if NAMES_ROUTES else "starlette_talk"),
        (starlette, "/returned/7/8/9", "/returned/{room}" if NAMES_ROUTES else "starlette_returned"),
        (starlette, "/mounted/acme/7", "/{room}" if NAMES_ROUTES else "starlette_talk"),
        (starlette, "/bare/7", "/bare/{path}" if NAMES_ROUTES else ""),
        (unrouted, "/7", ""),
    ],
)
async def test_the_label_is_the_routes_template(
    application: Callable[[Streams], ASGIApp], target: str, label: str
) -> None:
    streams = Streams()
    endings = Endings(streams)
    app = application(streams)
    async with running(app) as state:
        await fetch(app, target, state=state)
        assert (await endings.only()).route == label


WORDS = ["7", "007", "%00", "a%0ab", "%1b[31m", "..%2f..%2fetc", "{room}", "😀", "x" * 10_000, "bare", "room"]
PLACES = [
    "direct/*",
    "returned/*",
    "bare/*",
    "mounted/*",
    "mounted/*/*",
    "same/*/7",
    "number/*/room",
    "deep/*/in/room",
]
PLACES += ["deep/*/*/in/room", "outer/*/inner/*/room", "api/*/router/inner/*", "nowhere/*"]


@pytest.mark.parametrize("application", [fastapi, starlette, unrouted])
async def test_no_path_makes_a_new_label(application: Callable[[Streams], ASGIApp]) -> None:
    streams = Streams()
    endings = Endings(streams)
    app = application(streams)
    async with running(app) as state:
        for place in PLACES:
            before = len(endings)
            for word in WORDS:
                assert await Client(app, f"/{place.replace('*', word)}", state=state).over() is None
            labels = {ending.route for ending in endings[before:]}
            assert len(labels) <= 1, f"{place}: {labels}"


async def test_a_hosts_streams_have_its_routes_label() -> None:
    streams = Streams()
    endings = Endings(streams)
    app = starlette(streams)
    async with running(app) as state:
        await fetch(app, "/hosted/7", state=state, headers=[(b"host", b"acme.example")])
        assert (await endings.only()).route == ("/hosted/{room}" if NAMES_ROUTES else "starlette_talk")


async def test_a_rewritten_root_path_is_no_part_of_it() -> None:
    streams = Streams()
    endings = Endings(streams)
    app = fastapi(streams)
    for target in ("/behind/a/proxy/direct/7", "/behind/a/proxy/mounted/7"):
        client = Client(app, target)
        client.scope["root_path"] = "/behind/a/proxy"
        await client.finished()
    await turns()
    assert not any("proxy" in ending.route for ending in endings)
