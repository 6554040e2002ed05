"""endwell's EventStream, with its defaults: endings, deadlines, heartbeat and the held status line all on."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from benchmarks.peers._mounts import mounted
from endwell import EventStream, Policy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp

    from benchmarks.event import Token


def respond(source: AsyncIterator[Token], heartbeat: float | None) -> ASGIApp:
    """Stream events; None leaves the heartbeat at its default of 15 s."""
    return EventStream(source, policy=None if heartbeat is None else _policy(heartbeat))


@cache
def _policy(heartbeat: float) -> Policy:
    """One for all streams, as an application has it."""
    return Policy(heartbeat=heartbeat)


application = mounted(respond)
