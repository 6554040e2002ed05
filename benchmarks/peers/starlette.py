"""Starlette's StreamingResponse over the application's own generator of frames."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from starlette.responses import StreamingResponse

from benchmarks.peers._idle import with_heartbeat
from benchmarks.peers._mounts import mounted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp

    from benchmarks.event import Token


def respond(source: AsyncIterator[Token], heartbeat: float | None) -> ASGIApp:
    """Stream frames, with the application's own heartbeat if one is asked for."""
    frames = _frames(source) if heartbeat is None else _frames_and_pings(source, heartbeat)
    return StreamingResponse(frames, media_type="text/event-stream", headers={"cache-control": "no-store"})


async def _frames(source: AsyncIterator[Token]) -> AsyncIterator[str]:
    async for event in source:
        yield f"data: {json.dumps(event)}\n\n"


async def _frames_and_pings(source: AsyncIterator[Token], seconds: float) -> AsyncIterator[str]:
    async for event in with_heartbeat(source, seconds):
        yield f"data: {json.dumps(event)}\n\n" if event else ": ping\n"


application = mounted(respond)
