"""A server without backpressure gets it from what its client acknowledges."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from endwell import ByteStream, Outcome, Policy
from endwell.asgi._client import ClientSocket
from endwell.asgi._pacing import AHEAD, Pacing
from endwell.types import Message, Scope
from tests.asgi.pairs import Pair, pair, until
from tests.engine.scene import Visit

pytestmark = pytest.mark.real_time

PIECE = 64 * 1024


async def nobody() -> Message:
    raise AssertionError


class Server:
    """One that takes everything into memory, and sends it when it can."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end
        self._kept = bytearray()

    def take(self, data: bytes) -> None:
        self._kept += data
        self.work()

    def work(self) -> None:
        try:
            while self._kept:
                del self._kept[: self._end.send(self._kept)]
        except BlockingIOError:
            pass


async def send(ends: Pair, pacing: Pacing, pieces: int) -> None:
    server = Server(ends.server)
    for _ in range(pieces):
        server.take(bytes(PIECE))
        await pacing.sent(PIECE)


async def read(client: socket.socket, size: int) -> None:
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    while size > 0:
        size -= len(await loop.sock_recv(client, size))


async def test_a_client_that_does_not_read_holds_the_source_up() -> None:
    with pair() as ends:
        pacing = Pacing(ClientSocket(ends.scope(), nobody))
        sending = asyncio.create_task(send(ends, pacing, 10 * AHEAD // PIECE))
        done, _ = await asyncio.wait([sending], timeout=0.3)
        assert not done
        await read(ends.client, 10 * AHEAD // PIECE * PIECE)
        await sending


@pytest.mark.parametrize(
    "scope", [{}, {"client": ("192.0.2.1", 1), "server": ("192.0.2.2", 7)}], ids=["unnamed", "elsewhere"]
)
async def test_a_client_out_of_reach_holds_nothing_up(scope: Scope) -> None:
    with pair() as ends:
        await send(ends, Pacing(ClientSocket(scope, nobody)), 10 * AHEAD // PIECE)


async def test_a_client_that_leaves_holds_nothing_up() -> None:
    with pair() as ends:
        pacing = Pacing(ClientSocket(ends.scope(), nobody))
        await pacing.sent(2 * AHEAD)  # it counts from here on
        holding = asyncio.create_task(pacing.sent(2 * AHEAD))
        await asyncio.sleep(0.05)
        assert not holding.done()
        ends.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        ends.client.close()
        await until(holding.done)
        await pacing.sent(2 * AHEAD)


async def test_a_small_answer_looks_nowhere() -> None:
    client: Any = None
    await Pacing(client).sent(AHEAD)


# -- through a stream ----------------------------------------------------------------------------------------


async def for_ever() -> AsyncIterator[bytes]:
    while True:
        yield bytes(PIECE)


async def test_on_daphne_a_client_that_does_not_read_is_slow() -> None:
    with pair() as ends:
        visit = Visit(
            for_ever(),
            ByteStream,
            policy=Policy(send=0.5, hold=None, heartbeat=None),
            asgi={"version": "3.0"},
            **ends.scope(),
        )
        ending = await visit.ending()
        assert ending.outcome is Outcome.SLOW_CLIENT
        assert ending.bytes < 4 * AHEAD
