"""A source that a scope of its own is cancelling just when its client leaves is cancelled all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import anyio
import pytest

from endwell import Outcome
from tests.engine.scene import Diary, Visit, for_ever, turns


async def _slow_to_end(diary: Diary) -> None:
    """A task whose own cleanup takes a second, whatever cancels it."""
    try:
        await for_ever()
    finally:
        with anyio.CancelScope(shield=True):
            await asyncio.sleep(1)
        diary("child over")


async def _fail() -> None:
    raise LookupError


async def anyio_task_group(diary: Diary) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(_slow_to_end, diary)
        await asyncio.sleep(1)
        group.cancel_scope.cancel()  # as a connection attempt does that was overtaken by another


async def asyncio_task_group(diary: Diary) -> None:
    with suppress(BaseExceptionGroup):
        async with asyncio.TaskGroup() as group:
            _ = group.create_task(_slow_to_end(diary))
            await asyncio.sleep(1)
            _ = group.create_task(_fail())


async def timeout(diary: Diary) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            await _slow_to_end(diary)


@pytest.mark.parametrize("scope", [anyio_task_group, asyncio_task_group, timeout], ids=lambda it: it.__name__)
async def test_a_client_that_leaves_while_a_scope_of_the_sources_ends_is_not_forgotten(scope: object) -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        try:
            yield "hello"
            await scope(diary)  # type: ignore[operator]
            diary("goes on")
            await for_ever()
        except asyncio.CancelledError:
            diary("cancelled")
            raise
        finally:
            await asyncio.sleep(1)
            diary("cleaned")

    visit = Visit(source())
    await asyncio.sleep(1.5)  # the scope has cancelled, and waits for what is in it, until 2
    visit.leave()
    ending = await visit.ending()
    assert ending.outcome is Outcome.CLIENT_GONE
    assert not ending.overdue
    assert diary.words[-2:] == ["cancelled", "cleaned"]


@pytest.mark.parametrize("turn", range(12))
async def test_a_client_that_leaves_in_any_turn_of_a_scopes_end_is_not_forgotten(turn: int) -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        try:
            yield "hello"
            async with anyio.create_task_group() as group:
                group.start_soon(for_ever)
                await asyncio.sleep(1)
                group.cancel_scope.cancel()
            await for_ever()
        finally:
            diary("left")

    visit = Visit(source())
    await asyncio.sleep(1)
    await turns(turn)
    visit.leave()
    ending = await visit.ending()
    assert ending.outcome is Outcome.CLIENT_GONE
    assert not ending.overdue
    assert diary.words == ["left"]
