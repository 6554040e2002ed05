"""What a stream owns is released: whatever it is, once, in reverse order, whatever the others do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import pytest

from endwell import EventStream, NotReleasable, Outcome
from endwell.engine import release_all, releaser
from tests.engine.scene import Diary, Visit, for_ever, talker, turns


class WithAclose:
    def __init__(self, diary: Diary) -> None:
        self.diary = diary

    async def aclose(self) -> None:
        await asyncio.sleep(1)
        self.diary("aclose")

    def close(self) -> None:
        self.diary("close")


class WithClose:
    def __init__(self, diary: Diary) -> None:
        self.diary = diary

    def close(self) -> None:
        self.diary("close")

    def __exit__(self, *_: object) -> None:
        self.diary("exit")


class WithAwaitableClose:
    """As openai's AsyncStream has it."""

    def __init__(self, diary: Diary) -> None:
        self.diary = diary

    async def close(self) -> None:
        await asyncio.sleep(1)
        self.diary("close, awaited")


class WithAexit:
    def __init__(self, diary: Diary) -> None:
        self.diary = diary

    async def __aexit__(self, *error: object) -> None:
        await asyncio.sleep(1)
        self.diary(f"aexit {error}")


class WithExit:
    def __init__(self, diary: Diary) -> None:
        self.diary = diary

    def __exit__(self, *error: object) -> None:
        self.diary(f"exit {error}")


class WithCall:
    def __init__(self, diary: Diary) -> None:
        self.diary = diary

    def __call__(self) -> None:
        self.diary("called")


class WithAsyncCall:
    def __init__(self, diary: Diary) -> None:
        self.diary = diary

    async def __call__(self) -> None:
        await asyncio.sleep(1)
        self.diary("called, awaited")


@pytest.mark.parametrize(
    ("kind", "entry"),
    [
        (WithAclose, (1, "aclose")),
        (WithClose, (0, "close")),
        (WithAwaitableClose, (1, "close, awaited")),
        (WithAexit, (1, "aexit (None, None, None)")),
        (WithExit, (0, "exit (None, None, None)")),
        (WithCall, (0, "called")),
        (WithAsyncCall, (1, "called, awaited")),
    ],
)
async def test_a_resource_is_released_in_its_own_way(kind: Any, entry: tuple[float, str]) -> None:
    diary = Diary()
    assert await release_all([releaser(kind(diary))]) == []
    assert diary == [entry]


async def test_exit_stacks_can_be_owned() -> None:
    diary = Diary()
    stack, astack = ExitStack(), AsyncExitStack()
    stack.callback(diary, "stack")
    astack.callback(diary, "astack")
    assert await release_all([releaser(stack), releaser(astack)]) == []
    assert diary == [(0, "stack"), (0, "astack")]


async def test_a_task_is_cancelled_and_awaited() -> None:
    diary = Diary()

    async def work() -> None:
        try:
            await for_ever()
        finally:
            await asyncio.sleep(1)
            diary("cleaned")

    task = asyncio.create_task(work())
    await turns()
    assert await release_all([releaser(task)]) == []
    assert task.cancelled()
    assert diary == [(1, "cleaned")]


async def test_a_task_that_failed_is_an_error_of_the_cleanup_only() -> None:
    async def fail() -> None:
        raise LookupError

    async def source() -> AsyncIterator[str]:
        yield "x"

    failed, done = asyncio.create_task(fail()), asyncio.create_task(asyncio.sleep(0))
    await turns()
    ending = await Visit(source(), owns=[failed, done]).ending()
    assert ending.outcome is Outcome.COMPLETED
    assert [type(error) for error in ending.cleanup_errors] == [LookupError]


@pytest.mark.parametrize("thing", [object(), 5, "text", None, [1]])
async def test_what_nothing_can_release_is_refused_before_anything_is_taken_over(thing: object) -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        yield "x"

    generator = source()
    with pytest.raises(NotReleasable, match=type(thing).__qualname__):
        EventStream(generator, owns=[lambda: diary("released"), thing])
    assert diary == []
    assert (await Visit(generator).ending()).chunks == 1


async def test_owning_what_nothing_can_release_fails_the_source_where_it_asks() -> None:
    from endwell import current_stream

    async def source() -> AsyncIterator[str]:
        with pytest.raises(NotReleasable):
            current_stream().owns(object())
        yield "x"

    assert (await Visit(source()).ending()).outcome is Outcome.COMPLETED


async def test_resources_are_released_in_reverse_order_and_a_failing_one_keeps_nobody_from_it() -> None:
    diary = Diary()

    def fail(error: BaseException) -> None:
        diary(type(error).__name__)
        raise error

    async def cancel() -> None:
        raise asyncio.CancelledError

    visit = Visit(
        talker(diary),
        owns=[
            lambda: diary("first"),
            lambda: fail(LookupError()),
            lambda: fail(SystemExit()),
            cancel,
            lambda: fail(GeneratorExit()),
            lambda: diary("last"),
        ],
    )
    await visit.got(b"hello")
    visit.leave()
    ending = await visit.ending()
    assert diary.words == [
        "cancelled",
        "cleaned",
        "last",
        "GeneratorExit",
        "SystemExit",
        "LookupError",
        "first",
    ]
    assert [type(error) for error in ending.cleanup_errors] == [SystemExit, LookupError]
    assert ending.outcome is Outcome.CLIENT_GONE
    assert await visit.over() is None


@pytest.mark.parametrize("end", ["complete", "raise", "leave", "cancel"])
async def test_each_resource_is_released_once_however_the_stream_ends(end: str) -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        yield "x"
        await asyncio.sleep(1)
        if end == "raise":
            raise LookupError
        if end != "complete":
            await for_ever()

    async def slow() -> None:
        await asyncio.sleep(1)
        diary("slow")

    visit = Visit(source(), owns=[slow, lambda: diary("quick")])
    await asyncio.sleep(2)
    if end == "leave":
        visit.leave()
    elif end == "cancel":
        visit.task.cancel()
    await visit.ending()
    assert diary.words == ["quick", "slow"]
