"""hypercorn, its asyncio worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import uvloop
from hypercorn.asyncio import serve as run
from hypercorn.config import Config

if TYPE_CHECKING:
    from starlette.types import ASGIApp


def serve(app: ASGIApp, port: int) -> None:
    """Serve until killed."""
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.keep_alive_timeout = 75
    config.loglevel = "ERROR"
    uvloop.run(run(cast("Any", app), config))
