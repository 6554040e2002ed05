"""A source that is always ready: it freezes nobody, and is not asked past the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from endwell import ByteStream, Outcome, current_stream
from tests.engine.scene import Visit, turns


async def test_a_source_that_never_awaits_lets_others_run_and_ends_when_its_client_leaves() -> None:
    produced_after_leaving = 0

    async def source() -> AsyncIterator[bytes]:
        nonlocal produced_after_leaving
        stream = current_stream()
        while True:
            produced_after_leaving += bool(stream.gone)
            yield b"x"

    visit = Visit(source(), ByteStream)
    await visit.got(b"x")
    visit.leave()
    ending = await visit.ending()
    assert ending.outcome is Outcome.CLIENT_GONE
    assert produced_after_leaving <= 1


async def test_a_source_that_never_awaits_gives_the_loop_a_turn_in_each_slice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("endwell.engine._pull.SLICE", 0)
    produced = 0

    async def source() -> AsyncIterator[bytes]:
        nonlocal produced
        for _ in range(1000):
            produced += 1
            yield b"x"

    visit = Visit(source(), ByteStream)
    taken = 0
    while not visit.complete:
        await asyncio.sleep(0)
        taken += 1
        assert produced <= taken
    assert (await visit.ending()).chunks == 1000


async def test_a_source_is_asked_for_no_chunk_after_its_client_has_left() -> None:
    asked = []

    async def source() -> AsyncIterator[int]:
        for number in range(10):
            asked.append(number)
            yield number
            await asyncio.sleep(1)

    visit = Visit(source())
    await asyncio.sleep(2.5)
    visit.leave()
    assert (await visit.ending()).outcome is Outcome.CLIENT_GONE
    assert asked == [0, 1, 2]


async def test_a_source_whose_last_chunk_is_ready_when_the_client_leaves_is_asked_once_at_most() -> None:
    asked = []
    ready = asyncio.Event()

    async def source() -> AsyncIterator[int]:
        yield 0
        await ready.wait()
        for number in range(1, 10):
            asked.append(number)
            yield number

    visit = Visit(source())
    await visit.got(b"data: 0")
    ready.set()
    visit.leave()
    await turns()
    ending = await visit.ending()
    assert ending.outcome is Outcome.CLIENT_GONE
    assert len(asked) <= 1
