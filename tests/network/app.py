"""The application under test: streams for clients that are slow, hang up unseen, or vanish.

`/{source}?send=…` streams, `/base/…` does so behind BaseHTTPMiddleware, `/report` says what became of them.
VANISHED, in the environment, is what the application promises about clients that vanish, in seconds.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from endwell import ByteStream, Ending, EventStream, Policy, Streams

logging.getLogger("endwell").setLevel(logging.INFO)
logging.getLogger("endwell").addHandler(logging.StreamHandler())

streams = Streams(vanished=float(os.environ.get("VANISHED", "30")))
endings: list[dict[str, Any]] = []


async def idle() -> AsyncIterator[str]:
    """One chunk, then nothing for ever."""
    yield "chunk"
    await asyncio.Event().wait()


async def short() -> AsyncIterator[str]:
    """One chunk and the end."""
    yield "chunk"


async def ticking() -> AsyncIterator[str]:
    """A chunk every 50 ms."""
    while True:
        yield "chunk"
        await asyncio.sleep(0.05)


async def big() -> AsyncIterator[bytes]:
    """64 KiB as fast as they are taken, for ever."""
    while True:
        yield bytes(65536)


async def stream(request: Request) -> Response:
    """The stream that the path names; `send` is its policy's, `key` what the test knows it by."""
    key = request.query_params.get("key")
    policy = Policy(heartbeat=None, hold=1, send=float(request.query_params.get("send", "30")), cleanup=5)

    def note(ending: Ending) -> None:
        endings.append({"key": key, "outcome": str(ending.outcome), "at": time.monotonic()})

    name = request.path_params["source"]
    if name == "big":
        return ByteStream(big(), policy=policy, on_end=note)
    return EventStream({"idle": idle, "short": short, "ticking": ticking}[name](), policy=policy, on_end=note)


def report(request: Request) -> JSONResponse:
    """Every ending, how many streams live, and how many descriptors there are."""
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    return JSONResponse({"endings": endings, "active": len(streams.active()), "descriptors": descriptors})


class PassThrough(BaseHTTPMiddleware):
    """It does nothing, and still stands between."""

    async def dispatch(self, request: Request, call_next: Any) -> Response:
        """Hand the request on."""
        response: Response = await call_next(request)
        return response


behind = Starlette(routes=[Route("/{source}", stream)], middleware=[Middleware(PassThrough)])
app = Starlette(
    routes=[Route("/report", report), Mount("/base", behind), Route("/{source}", stream)],
    lifespan=streams.lifespan,
)
