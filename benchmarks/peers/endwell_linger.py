"""endwell, allowed to wait 2 ms for more to send with a chunk: an option, for work 2."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from benchmarks.peers._mounts import mounted
from endwell import EventStream, Policy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp

    from benchmarks.event import Token

LINGER = 0.002  # seconds


def respond(source: AsyncIterator[Token], heartbeat: float | None) -> ASGIApp:
    """Stream events; None leaves the heartbeat at its default of 15 s."""
    return EventStream(source, policy=_policy(heartbeat))


@cache
def _policy(heartbeat: float | None) -> Policy:
    """One for all streams, as an application has it."""
    return Policy(linger=LINGER) if heartbeat is None else Policy(linger=LINGER, heartbeat=heartbeat)


application = mounted(respond)
