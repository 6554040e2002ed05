"""Applications that say on stdout what becomes of them: for several processes, threads and loops.

Each line is a word, the application's name and the process: `cleaned` when a source's awaited cleanup has
finished, `ended` with the outcome when an ending was told, `startup` and `shutdown` when the application's
own code for these ran.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from endwell import Ending, EventStream, Policy, Streams

logging.getLogger("endwell").setLevel(logging.INFO)
logging.getLogger("endwell").addHandler(logging.StreamHandler())
logging.getLogger("endwell").propagate = False  # daphne and gunicorn have handlers of their own

CLEANUP = 0.05
"""Seconds a source's awaited cleanup takes."""
POLICY = Policy(drain=5.0, cleanup=3.0, retry=(100, 200))

Commands = Mapping[str, Callable[[], object]]
"""What a program lets its tests do to it, by name: `POST /do/{name}`."""


def say(*words: object) -> None:
    """One line, in one write: several processes share the file."""
    os.write(1, (" ".join(map(str, ("several:", *words))) + "\n").encode())


class Sources:
    """The sources of the application `name`: each begins with who serves it."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def me(self) -> dict[str, Any]:
        """Who serves."""
        return {"name": self.name, "pid": os.getpid()}

    def cleaned(self) -> None:
        """Say that a source has come to the end of its cleanup."""
        say("cleaned", self.name, os.getpid())

    async def idle(self, request: Request) -> AsyncIterator[Any]:
        """One chunk, then nothing for ever."""
        try:
            yield self.me
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(CLEANUP)
            self.cleaned()

    async def ticking(self, request: Request) -> AsyncIterator[Any]:
        """A chunk every 20 ms, for ever."""
        try:
            yield self.me
            while True:
                yield "tick"
                await asyncio.sleep(0.02)
        finally:
            await asyncio.sleep(CLEANUP)
            self.cleaned()

    def rows(self, request: Request) -> Iterator[Any]:
        """The same, in a thread."""
        try:
            yield self.me
            while True:
                yield "tick"
                time.sleep(0.02)
        finally:
            self.cleaned()

    async def short(self, request: Request) -> AsyncIterator[Any]:
        """Three chunks and a regular end."""
        yield self.me
        yield "tick"
        yield "tock"


def application(name: str, streams: Streams | None = None, *, commands: Commands | None = None) -> Starlette:
    """An application with streams of its own, unless it is given those of another."""
    own = Streams(policy=POLICY) if streams is None else streams
    if streams is None:
        own.on_end(lambda ending: _say_ended(name, ending))
    return Starlette(routes=_routes(name, own, commands or {}), lifespan=own.compose(_lifespan(name)))


def _say_ended(name: str, ending: Ending) -> None:
    say("ended", name, os.getpid(), ending.outcome)


def _lifespan(name: str) -> Callable[[Any], Any]:
    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        say("startup", name, os.getpid())
        yield
        say("shutdown", name, os.getpid())

    return lifespan


def _routes(name: str, streams: Streams, commands: Commands) -> list[BaseRoute]:
    sources = Sources(name)

    async def response(request: Request) -> Response:
        return EventStream(sources.idle(request))

    async def active(request: Request) -> Response:
        return JSONResponse([stream.id for stream in streams.active()])

    async def drain(request: Request) -> Response:
        await streams.drain()
        return JSONResponse("drained")

    async def do(request: Request) -> Response:
        commands[request.path_params["what"]]()
        return JSONResponse("done")

    streaming = [
        Route(f"/{source.__name__}", streams.sse(source))
        for source in (sources.idle, sources.ticking, sources.rows, sources.short)
    ]
    return [
        *streaming,
        Route("/response", response),
        Route("/active", active),
        Route("/drain", drain, methods=["POST"]),
        Route("/do/{what}", do, methods=["POST"]),
    ]


def two_in_one() -> Starlette:
    """Two applications with streams of their own under a third one, which brings up both."""
    left, right = application("left"), application("right")

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[Mapping[str, Any]]:
        async with left.router.lifespan_context(left) as one, right.router.lifespan_context(right) as other:
            yield {**(one or {}), **(other or {})}

    return Starlette(routes=[Mount("/left", left), Mount("/right", right)], lifespan=lifespan)


def one_below() -> Starlette:
    """A sub-application that shares the streams of the one it is mounted in; nobody runs its lifespan."""
    streams = Streams(policy=POLICY)
    streams.on_end(lambda ending: _say_ended("above", ending))
    above = application("above", streams)
    above.router.routes.insert(0, Mount("/below", application("below", streams)))
    return above


app = application("app")
mounted = two_in_one()
below = one_below()
