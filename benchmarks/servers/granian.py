"""granian, embedded: one worker in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import uvloop
from granian.constants import Interfaces
from granian.server.embed import Server

if TYPE_CHECKING:
    from starlette.types import ASGIApp


def serve(app: ASGIApp, port: int) -> None:
    """Serve until killed."""
    served = Server(
        app,
        "127.0.0.1",
        port,
        interface=Interfaces.ASGI,
        log_enabled=False,
        backlog=2048,
        backpressure=20_000,  # connections at once; the default takes no more than the backlog
    )
    uvloop.run(served.serve())
