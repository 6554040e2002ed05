"""How far a sync source's thread goes: so far ahead, no further than its loop lives, only if needed."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import weakref
from collections.abc import Iterator

import pytest

from endwell import ByteStream, EventStream, Policy
from endwell.engine._pool import ThreadPool
from endwell.engine._threads import ThreadedIterator
from tests.engine.scene import QUIET, Diary, Visit, turns
from tests.peer import FOREVER, Peer

PATIENCE = 5.0
"""Seconds of real time for what happens at once."""


@pytest.mark.parametrize("size", [1, 1000, 100_000])
async def test_a_sync_source_works_ahead_within_bounds(size: int) -> None:
    produced = 0

    def source() -> Iterator[bytes]:
        nonlocal produced
        while True:
            produced += 1
            yield b"x" * size

    visit = Visit(source(), ByteStream, sends={2: FOREVER})
    await visit.got(b"x")
    await asyncio.sleep(60)
    assert produced * size <= 3 * 65_536 + 256 * 1024 + 3 * size
    visit.leave()
    await visit.ending()


async def test_a_sync_source_that_never_waits_does_not_keep_others_from_running() -> None:
    def source() -> Iterator[int]:
        yield from range(20_000)

    visits = [Visit(source()) for _ in range(3)]
    for visit in visits:
        assert (await visit.ending()).chunks == 20_000


async def test_a_sync_source_that_was_never_stepped_is_closed_without_a_thread() -> None:
    diary = Diary()

    class Cursor:
        def __iter__(self) -> Cursor:
            return self

        def __next__(self) -> bytes:
            raise AssertionError

        def close(self) -> None:
            diary(threading.current_thread().name)

    peer = Peer(EventStream(Cursor(), policy=QUIET), method="HEAD")
    await peer.finished()
    assert diary.words == [threading.current_thread().name]


@pytest.mark.parametrize("after", [0, 1, 3])
async def test_nothing_of_a_source_is_left_to_the_garbage_collector(after: int) -> None:
    def source() -> Iterator[bytes]:
        yield b"x"
        yield b"y"
        raise LookupError

    gc.disable()
    try:
        iterator = ThreadedIterator(source(), ThreadPool(1))
        with contextlib.suppress(LookupError):
            for _ in range(after):
                await anext(iterator)
        with contextlib.suppress(LookupError):
            await iterator.aclose()
        thread = iterator._job.thread if iterator._job is not None else None
        found = weakref.ref(iterator)
        del iterator
        if thread is not None:
            await asyncio.to_thread(thread.join, PATIENCE)
        assert found() is None
    finally:
        gc.enable()


def test_a_loop_that_is_gone_does_not_hang_the_thread_of_a_source() -> None:
    go_on = threading.Event()
    ended = threading.Event()

    def source() -> Iterator[bytes]:
        yield b"x"
        go_on.wait(PATIENCE)
        try:
            yield b"y"
        finally:
            ended.set()

    async def main() -> None:
        visit = Visit(source(), ByteStream, policy=Policy(heartbeat=None, cleanup=0.01))
        await visit.got(b"x")
        visit.leave()
        await visit.ending()
        await turns()

    asyncio.run(main())
    go_on.set()
    assert ended.wait(PATIENCE)


def test_a_loop_that_is_closed_while_it_waits_does_not_hang_the_thread_either() -> None:
    go_on, ended = threading.Event(), threading.Event()

    def source() -> Iterator[bytes]:
        try:
            go_on.wait(PATIENCE)
            yield b"x"
        finally:
            ended.set()

    async def main() -> asyncio.Future[bytes]:
        stepping = asyncio.ensure_future(anext(ThreadedIterator(source(), ThreadPool())))
        await turns()
        return stepping

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # "Task was destroyed but it is pending!"
    stepping = loop.run_until_complete(main())
    loop.close()
    go_on.set()
    assert ended.wait(PATIENCE)
    assert not stepping.done()


def test_a_loop_that_is_closed_while_the_thread_waits_for_room_does_not_hang_it_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("endwell.engine._threads._LOOK_AT_LOOP", 0.01)
    ended = threading.Event()

    def source() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 65_536
        finally:
            ended.set()

    async def main() -> None:
        await anext(ThreadedIterator(source(), ThreadPool()))

    asyncio.run(main())
    assert ended.wait(PATIENCE)
