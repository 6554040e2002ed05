"""The server process: streams that go on for ever, a stop button, and when each source met its `finally`."""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from benchmarks.harness.machine import allow_many_sockets, pin
from endwell import Policy, Streams, current_stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from starlette.requests import Request


def application(retry: tuple[int, int] | None, every: float | None) -> Starlette:
    """An application with endwell's defaults, but for `retry`.

    Args:
        retry: the policy's; None names no reconnection time.
        every: seconds between two events of a stream, on average; None is silence after the first.
    """
    streams = Streams(policy=Policy(retry=retry))
    left: dict[str, int] = {}

    async def stream(request: Request) -> AsyncIterator[dict[str, Any]]:
        me = current_stream().id
        try:
            yield {"id": me}
            while every is not None:
                await asyncio.sleep(every * random.uniform(0.5, 1.5))  # so that no two stay in step
                yield {"token": "word"}
            await asyncio.get_running_loop().create_future()
        finally:
            left[me] = time.monotonic_ns()

    async def when_left(request: Request) -> Response:
        return JSONResponse(left)

    routes = [
        Route("/stream", streams.sse(stream)),
        Mount("/streams", streams.stop_endpoint()),
        Route("/left", when_left),
    ]
    return Starlette(routes=routes, lifespan=streams.lifespan)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until the end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet.app", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="uvloop")
    parser.add_argument("--retry", type=int, nargs=2, help="least and most ms; without it, none is named")
    parser.add_argument("--every", type=float, help="seconds between events; without it, silence")
    parser.add_argument("--core", type=int, default=0)
    options = parser.parse_args(arguments)
    pin(options.core)
    allow_many_sockets()
    app = application(tuple(options.retry) if options.retry else None, options.every)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=options.port,
        http="httptools",
        loop=options.loop,
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
