"""The hot paths. Each is gone a few times and many times: the difference is what going it costs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from tests.budgets.application import BEAT, STREAMS
from tests.budgets.server import Client, Server

Go: TypeAlias = Callable[[], Awaitable[None]]
Prepare: TypeAlias = Callable[[Server, int], Awaitable[Go]]
"""Makes everything ready to go a path so many times; only what is returned is counted."""

BEATING = 50
"""Idle streams that beat."""


@dataclass(frozen=True, slots=True)
class Path:
    """A hot path.

    Attributes:
        title: What is counted.
        prepare: How to go it.
        fewer, more: How often it is gone.
        per: How many of these make up the unit that the title speaks of.
        alone: The application has no `Streams`.
        protocol: Which of uvicorn's the server speaks.
    """

    title: str
    prepare: Prepare
    fewer: int
    more: int
    per: int = 1
    alone: bool = False
    protocol: str = "h11"


def _one_stream(source: str) -> Prepare:
    async def prepare(server: Server, count: int) -> Go:
        client = server.connect()

        async def go() -> None:
            client.ask(f"{source}?{count}")
            await server.answered()

        return go

    return prepare


def _streams(source: str) -> Prepare:
    async def prepare(server: Server, count: int) -> Go:
        client = server.connect()

        async def go() -> None:
            for _ in range(count):
                client.ask(source)
                await server.answered()

        return go

    return prepare


async def open_idle(server: Server, count: int, source: str = "/idle?0") -> list[Client]:
    """Open so many streams, each of which has said its first word and is watched by now."""
    clients = [server.connect() for _ in range(count)]
    for client in clients:
        client.ask(source)
        await asyncio.sleep(0.001)
    await asyncio.sleep(BEAT / 2)
    return clients


def _beat(source: str) -> Prepare:
    async def prepare(server: Server, count: int) -> Go:
        await open_idle(server, BEATING, source)

        async def go() -> None:
            await asyncio.sleep(BEAT * count / BEATING)

        return go

    return prepare


async def _stop(server: Server, count: int) -> Go:
    await open_idle(server, count)

    async def go() -> None:
        for stream in STREAMS.active():
            await STREAMS.stop(stream.id)
        await server.answered()

    return go


async def _leave(server: Server, count: int) -> Go:
    clients = await open_idle(server, count)

    async def go() -> None:
        for client in clients:
            client.leave()
            await asyncio.sleep(0.001)
        await server.answered()

    return go


async def _visit(server: Server, count: int) -> Go:
    clients = [server.connect() for _ in range(count)]

    async def go() -> None:
        for client in clients:
            client.ask("/idle?0")
            await asyncio.sleep(0.001)
            client.leave()
        await server.answered()

    return go


PATHS = {
    "ready": Path(
        "1,000 events of a source that is always ready", _one_stream("/ready"), 1000, 3000, per=1000
    ),
    "suspending": Path("an event of a source that waits for each", _one_stream("/suspending"), 100, 600),
    "prompt": Path("a heartbeat", _beat("/idle?0"), 250, 1000),
    "heartbeat": Path("a heartbeat, behind a middleware", _beat("/behind/idle?0"), 250, 1000),
    "stream": Path(
        "a stream of 10 events, as bare ASGI, without `Streams`", _streams("/ready?10"), 5, 25, alone=True
    ),
    "routed": Path("a stream of 10 events, in Starlette", _streams("/routed/ready?10"), 5, 25),
    "decorated": Path(
        "a stream of 10 events, by `@streams.sse` in Starlette", _streams("/decorated/ready?10"), 5, 25
    ),
    "stop": Path("a stop", _stop, 5, 25),
    "leave": Path("a client that leaves", _leave, 5, 25),
    "visit": Path("a client that comes and leaves, with httptools", _visit, 5, 25, protocol="httptools"),
}
