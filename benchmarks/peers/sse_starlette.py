"""sse-starlette's EventSourceResponse, as its documentation shows it; its heartbeat is a task of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sse_starlette import EventSourceResponse

from benchmarks.peers._mounts import mounted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp

    from benchmarks.event import Token


def respond(source: AsyncIterator[Token], heartbeat: float | None) -> ASGIApp:
    """Stream events; None leaves its heartbeat at its default of 15 s."""
    return EventSourceResponse(_events(source), ping=heartbeat)


async def _events(source: AsyncIterator[Token]) -> AsyncIterator[dict[str, str]]:
    async for event in source:
        yield {"data": json.dumps(event)}


application = mounted(respond)
