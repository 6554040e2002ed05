"""Over HTTP/2 a connection is shared, and what the server takes is all that is known of a stream's client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from endwell import ByteStream, Outcome, Policy
from endwell.asgi._connection import PIECE
from tests.engine.scene import Visit


async def much() -> AsyncIterator[bytes]:
    yield bytes(5 * PIECE + 1)
    await asyncio.sleep(1)
    yield b"end"


@pytest.mark.parametrize(("version", "pieces"), [("2", [PIECE] * 5 + [1, 3]), ("1.1", [5 * PIECE + 1, 3])])
async def test_a_large_chunk_goes_out_in_frames(version: str, pieces: list[int]) -> None:
    visit = Visit(much(), ByteStream, http_version=version)
    ending = await visit.ending()
    assert [len(piece) for piece in visit.pieces] == pieces
    assert (ending.outcome, ending.chunks, ending.bytes) == (Outcome.COMPLETED, 2, 5 * PIECE + 4)


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield bytes(4 * PIECE)


@pytest.mark.parametrize(
    ("seconds_per_frame", "lives"), [(3.0, 60.0), (40.0, 40.0)], ids=["progresses", "does not read"]
)
async def test_a_reader_lives_by_the_frame(seconds_per_frame: float, lives: float) -> None:
    """64 KiB at once would take 12 s, longer than the deadline."""
    visit = Visit(
        endless(),
        ByteStream,
        policy=Policy(send=10, heartbeat=None, hold=None, total=60),
        http_version="2",
        sends=dict.fromkeys(range(3, 1000), seconds_per_frame),
    )
    ending = await visit.ending()
    slow = seconds_per_frame > 10
    assert ending.outcome is (Outcome.SLOW_CLIENT if slow else Outcome.TIMED_OUT)
    assert ending.duration <= lives
