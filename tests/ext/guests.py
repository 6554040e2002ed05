"""Clients who come in and leave again, for tests of limits."""

from __future__ import annotations

from typing import Any

from endwell import Streams
from endwell.types import ASGIApp
from tests.ext.visits import Client


async def begun(app: ASGIApp, target: str = "/talk", **client: Any) -> Client:
    """A client whose stream has begun."""
    visit = Client(app, target, **client)
    await visit.got(b"data: a\n\n")
    return visit


async def leave(*clients: Client) -> None:
    """Let them leave, and wait until all is over."""
    for client in clients:
        client.leave()
    for client in clients:
        await client.finished()


def inside(streams: Streams) -> int:
    """How many places under the application's limits are taken."""
    gate = streams._registry.gate
    assert gate is not None
    return gate.inside
