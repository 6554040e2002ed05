"""What readers of a request do, and what there is to read."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from endwell import Policy

QUIET = Policy(heartbeat=None)
"""Without heartbeats, a test in which nothing will ever happen again ends."""

PIECES = [b"one ", b"two ", b"three"]


async def body(request: Request) -> bytes:
    return await request.body()


async def stream(request: Request) -> bytes:
    return b"".join([piece async for piece in request.stream()])


READERS = [body, stream]


async def until_gone(request: Request) -> None:
    while not await request.is_disconnected():  # noqa: ASYNC110 - as users do
        await asyncio.sleep(0.1)
