"""Chunks that are gathered for a moment, so that they cost fewer sends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from endwell import ByteStream, NDJSONStream, Outcome, Policy
from tests.engine.scene import QUIET, Visit, now
from tests.peer import FOREVER

LINGERING = replace(QUIET, linger=0.25)


async def every(seconds: float, count: int = 8) -> AsyncIterator[bytes]:
    for number in range(count):
        yield b"%d" % number
        await asyncio.sleep(seconds)


def pieces(visit: Visit) -> list[tuple[float, bytes]]:
    return [(sent.at, sent.data) for sent in visit.sends if sent.data]


async def test_what_comes_in_the_meantime_goes_out_together_and_the_first_at_once() -> None:
    visit = Visit(every(0.125), ByteStream, policy=LINGERING)
    await visit.ending()
    assert pieces(visit) == [(0, b"0"), (0.375, b"12"), (0.625, b"34"), (0.875, b"56"), (1.0, b"7")]


async def test_without_it_each_goes_out_when_the_source_waits() -> None:
    visit = Visit(every(0.125), ByteStream, policy=QUIET)
    await visit.ending()
    assert [data for _, data in pieces(visit)] == [b"%d" % number for number in range(8)]


async def test_a_lone_chunk_waits_no_longer_than_that() -> None:
    visit = Visit(every(10, 3), ByteStream, policy=LINGERING)
    await visit.ending()
    assert pieces(visit) == [(0, b"0"), (10.25, b"1"), (20.25, b"2")]


async def test_the_end_waits_for_nothing() -> None:
    visit = Visit(every(0.1, 2), ByteStream, policy=LINGERING)
    assert (await visit.ending()).outcome is Outcome.COMPLETED
    assert now() == pytest.approx(0.2)
    assert visit.body == b"01"


async def test_an_error_comes_after_what_was_gathered() -> None:
    async def fails() -> AsyncIterator[str]:
        yield "a"
        await asyncio.sleep(0.1)
        yield "b"
        await asyncio.sleep(0.1)
        raise ValueError("no more")

    visit = Visit(fails(), NDJSONStream, policy=LINGERING)
    assert isinstance(await visit.over(), ValueError)
    assert visit.body.startswith(b'"a"\n"b"\n{"error":')


async def test_who_leaves_meanwhile_leaves_no_timer_behind() -> None:
    visit = Visit(every(0.1), ByteStream, policy=LINGERING)
    await asyncio.sleep(0.15)
    visit.leave()
    ending = await visit.ending()
    assert (ending.outcome, ending.discarded, now()) == (Outcome.CLIENT_GONE, 1, 0.15)


async def test_a_client_that_does_not_read_is_found_all_the_same() -> None:
    policy = Policy(heartbeat=None, hold=None, send=2.0, linger=0.25)
    visit = Visit(every(0.125, 1000), ByteStream, policy=policy, sends={3: FOREVER})
    assert (await visit.ending()).outcome is Outcome.SLOW_CLIENT


@pytest.mark.parametrize("linger", [0, -1, float("nan"), float("inf"), "5", True])
def test_it_is_a_duration(linger: object) -> None:
    with pytest.raises(ValueError, match="linger must be a finite number of seconds, more than 0"):
        Policy(linger=linger)  # type: ignore[arg-type]
