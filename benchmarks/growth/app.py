"""The server process: streams of numbered events, each due at its time, and what it sees of itself."""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import resource
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from benchmarks.growth.probe import Probe, census
from benchmarks.harness.machine import allow_many_sockets, pin
from benchmarks.peers.raw import respond
from endwell import Ending, Policy, Streams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp

PEERS = ("endwell", "raw")
ID_HEADER = "Stream-Id"
RARELY = (700, 10, 1_000)
"""For `gc.set_threshold`: a hundred times fewer full collections than CPython's (700, 10, 10)."""
COLLECTORS = ("default", "frozen", "rarely")
"""As CPython has it; with what is there before the first request left out of it for ever; and as above."""
MUCH = "x" * 49_152
"""The token of those that nobody reads any more: it fills every buffer on the way within 6 s."""
GOLDEN = 0.618034
"""Successive multiples of it, without their whole part, lie evenly: so do the streams' events in a period."""


async def events(request: Request) -> AsyncIterator[dict[str, Any]]:
    """One event at once, then one each period; whose it is, which, and when it was due are in its id.

    Query: `number` of the stream, `period` in seconds, and `held` for those that wait for `/begin` after the
    first event.
    """
    query = request.query_params
    number, period = int(query["number"]), round(float(query["period"]) * 1e9)
    longer: set[int] = request.app.state.longer
    yield {"id": f"{number}/0/{time.monotonic_ns()}"}
    if "held" in query:
        await request.app.state.begun.wait()
    begun = time.monotonic_ns()
    for index in itertools.count(1):
        due = begun + round(period * (index + number * GOLDEN % 1))
        if (wait := due - time.monotonic_ns()) > 0:
            await asyncio.sleep(wait / 1e9)
        token = MUCH if number in longer else " streaming"
        yield {"id": f"{number}/{index}/{due}", "token": token, "finish_reason": None}


def application(peer: str, send: float) -> Starlette:
    """`/stream` by endwell, with its defaults but for `send`, or by raw; and pages about the process.

    Args:
        peer: whose streams.
        send: the policy's deadline, in seconds.
    """
    probe = Probe()
    endings: list[tuple[str, str, int]] = []
    streams = Streams(policy=Policy(send=send), id_header=ID_HEADER)

    @streams.on_end
    async def ended(ending: Ending) -> None:
        endings.append((ending.id, ending.outcome.value, ending.chunks))

    async def seen(request: Request) -> Response:
        return JSONResponse(probe.take())

    async def counted(request: Request) -> Response:
        return JSONResponse(census(collect="collect" in request.query_params))

    async def ends(request: Request) -> Response:
        return JSONResponse(endings)

    async def lengthen(request: Request) -> Response:
        request.app.state.longer.add(int(request.path_params["number"]))
        return JSONResponse("longer")

    async def begin(request: Request) -> Response:
        request.app.state.begun.set()
        return JSONResponse("begun")

    async def raw(request: Request) -> ASGIApp:
        return respond(events(request), None)

    @asynccontextmanager
    async def watched(app: Any) -> AsyncIterator[dict[str, Any]]:
        probe.start()
        yield {}
        probe.stop()

    routes = [
        Route("/stream", streams.sse(events) if peer == "endwell" else raw),
        Mount("/streams", streams.stop_endpoint()),
        Route("/longer/{number}", lengthen, methods=["POST"]),
        Route("/begin", begin),
        Route("/seen", seen),
        Route("/census", counted),
        Route("/endings", ends),
    ]
    app = Starlette(routes=routes, lifespan=streams.compose(watched))
    app.state.longer = set()
    app.state.begun = asyncio.Event()
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until the end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth.app", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--peer", choices=PEERS, default="endwell")
    parser.add_argument("--send", type=float, default=30.0, help="the policy's send deadline, seconds")
    parser.add_argument("--descriptors", type=int, help="how many the process may have open")
    parser.add_argument("--collector", choices=COLLECTORS, default="default")
    parser.add_argument("--core", type=int, default=0)
    options = parser.parse_args(arguments)
    pin(options.core)
    allow_many_sockets()
    if options.descriptors:
        resource.setrlimit(resource.RLIMIT_NOFILE, (options.descriptors, options.descriptors))
    if options.collector == "rarely":
        gc.set_threshold(*RARELY)
    app = application(options.peer, options.send)
    if options.collector == "frozen":
        gc.collect()
        gc.freeze()
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=options.port,
        http="httptools",
        loop="uvloop",
        access_log=False,
        log_level="warning",
        timeout_keep_alive=75,  # for the connections of those who stop streams
    )


if __name__ == "__main__":
    main()
