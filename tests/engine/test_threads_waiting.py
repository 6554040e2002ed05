"""Sync sources above the bound: they wait for a thread, and their streams live on meanwhile, or end."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from contextvars import ContextVar
from random import Random

import pytest

from endwell import ByteStream, Cause, EventStream, Outcome, Policy
from endwell.engine._pool import ThreadPool, pool_of
from endwell.engine._threads import ThreadedIterator
from tests.engine.scene import QUIET, Diary, Visit, now, turns

PATIENCE = 5.0
"""Seconds of real time for what happens at once."""
WHO: ContextVar[str] = ContextVar("who", default="nobody")


def pool(size: int) -> ThreadPool:
    """The pool of this test's loop, with room for `size` sources."""
    threads = pool_of(asyncio.get_running_loop())
    threads.size = size
    return threads


class Feed:
    """A sync source that says hello, then blocks its thread until it is told to go on."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.started = False
        self.closed = False

    def __call__(self) -> Iterator[bytes]:
        self.started = True
        try:
            yield b"hello"
            self.hang()
        finally:
            self.closed = True

    def hang(self) -> None:
        self.go_on.wait(PATIENCE)


async def a_full_pool(policy: Policy = QUIET) -> tuple[ThreadPool, Feed, Visit]:
    """A pool whose only thread is in use, by a feed and its visit."""
    threads, feed = pool(1), Feed()
    visit = Visit(feed(), ByteStream, policy=policy)
    await visit.got(b"hello")
    return threads, feed, visit


async def test_a_source_above_the_bound_starts_when_another_has_ended() -> None:
    threads, first, visit = await a_full_pool()
    second = Visit(iter([b"x", b"y"]), ByteStream)
    third = Visit(iter([b"z"]), ByteStream)
    await turns()
    assert threads.busy() == (1, 2, 0)
    first.go_on.set()
    for each in (visit, second, third):
        assert (await each.ending()).outcome is Outcome.COMPLETED
    assert (second.body, third.body) == (b"xy", b"z")
    assert threads.busy() == (0, 0, 0)


async def test_a_source_whose_client_leaves_while_it_waits_is_never_started_and_leaves_the_queue() -> None:
    threads, first, visit = await a_full_pool()
    diary, second = Diary(), Feed()
    waiting = Visit(second(), ByteStream, owns=[lambda: diary("released")])
    await turns()
    waiting.leave()
    ending = await waiting.ending()
    assert (ending.outcome, ending.chunks, ending.overdue) == (Outcome.CLIENT_GONE, 0, False)
    assert diary.words == ["released"]
    assert threads.busy() == (1, 0, 0)
    first.go_on.set()
    await visit.ending()
    assert not second.started


async def test_an_iterator_that_waits_in_vain_is_closed() -> None:
    _, first, visit = await a_full_pool()
    closed = []

    class Cursor:
        def __iter__(self) -> Cursor:
            return self

        def __next__(self) -> bytes:
            raise AssertionError

        def close(self) -> None:
            closed.append(threading.current_thread())

    waiting = Visit(Cursor(), ByteStream)
    await turns()
    waiting.leave()
    assert (await waiting.ending()).cleanup_errors == ()
    assert closed == [threading.current_thread()]
    first.go_on.set()
    await visit.ending()


async def test_a_source_has_started_when_it_has_a_thread() -> None:
    threads, feed = ThreadPool(1), Feed()
    first, second = (ThreadedIterator(source, threads) for source in (feed(), iter([b"x"])))
    assert not first.started
    await anext(first)
    stepping = asyncio.create_task(_step(second))
    await turns()
    assert (first.started, second.started) == (True, False)
    stepping.cancel()
    await asyncio.wait([stepping])
    await second.aclose()
    assert not second.started
    feed.go_on.set()
    await first.aclose()


async def _step(source: ThreadedIterator) -> None:
    await anext(source)


async def test_the_first_chunks_deadline_runs_while_a_source_waits_for_a_thread() -> None:
    policy = Policy(heartbeat=None, hold=None, first_chunk=7)
    threads, first, visit = await a_full_pool()
    waiting = Visit(Feed()(), ByteStream, policy=policy)
    ending = await waiting.ending()
    assert (ending.cause, ending.duration) == (Cause.FIRST_CHUNK, 7)
    assert waiting.status == 504
    assert threads.busy() == (1, 0, 0)
    first.go_on.set()
    await visit.ending()


async def test_a_stream_whose_source_waits_for_a_thread_opens_after_its_hold_and_sends_heartbeats() -> None:
    policy = Policy(heartbeat=10, hold=5, send=None)
    _, first, visit = await a_full_pool()
    waiting = Visit(iter(["x"]), EventStream, policy=policy)
    await asyncio.sleep(26)
    assert [send.at for send in waiting.sends if send.data] == [5, 15, 25]
    assert waiting.status == 200
    first.go_on.set()
    await visit.ending()
    assert (await waiting.ending()).outcome is Outcome.COMPLETED


async def test_a_stuck_source_gives_its_place_to_the_next_when_its_cleanup_is_given_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "endwell")
    threads, stuck, visit = await a_full_pool(Policy(heartbeat=None, cleanup=7))
    waiting = Visit(iter([b"x"]), ByteStream)
    visit.leave()
    ending = await visit.ending()
    assert (ending.overdue, now()) == (True, 7)
    assert (await waiting.ending()).outcome is Outcome.COMPLETED
    assert threads.busy() == (0, 0, 1)
    (warning,) = (record.message for record in caplog.records if "its thread is let go" in record.message)
    assert warning.startswith(f"sync source Feed.__call__ of stream {ending.id} is still at Feed.hang (")
    stuck.go_on.set()
    while not stuck.closed or threads.busy().let_go:
        await asyncio.to_thread(threading.Event().wait, 0.01)
    assert "came back" in caplog.text


async def test_a_source_for_which_there_is_no_thread_fails_and_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    closed = []

    class Rows:
        def __iter__(self) -> Iterator[bytes]:
            raise AssertionError

        def close(self) -> None:
            closed.append(True)

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    ending = await Visit(Rows(), ByteStream).ending()
    assert (ending.outcome, ending.cause) == (Outcome.FAILED, Cause.SOURCE_RAISED)
    assert "can't start new thread" in str(ending.error)
    assert closed == [True]


async def test_all_that_the_closing_of_a_source_raises_is_told() -> None:
    class Rows:
        """Its iterator and itself both fail to close."""

        def __iter__(self) -> Iterator[bytes]:
            return self.rows()

        def rows(self) -> Iterator[bytes]:
            try:
                while True:
                    yield b"x" * 65_536
            finally:
                raise LookupError

        def close(self) -> None:
            raise OSError

    visit = Visit(Rows(), ByteStream)
    await visit.got(b"x")
    visit.leave()
    (error,) = (await visit.ending()).cleanup_errors
    assert isinstance(error, ExceptionGroup)
    assert [type(each) for each in error.exceptions] == [LookupError, OSError]


async def test_what_a_source_sets_is_seen_by_its_next_step_and_its_cleanup_and_nobody_else() -> None:
    seen: dict[str, list[str]] = {"a": [], "b": []}

    def source(name: str) -> Iterator[bytes]:
        try:
            while True:
                seen[name].append(WHO.get())
                WHO.set(name)
                yield b"x" * 65_536
        finally:
            seen[name].append(f"cleanup of {WHO.get()}")

    pool(1)
    WHO.set("request")
    for name in seen:
        visit = Visit(source(name), ByteStream)
        await visit.got(b"x", times=3)
        visit.leave()
        await visit.ending()
        assert seen[name][:2] == ["request", name]
        assert seen[name][-1] == f"cleanup of {name}"
    assert WHO.get() == "request"


# -- many ----------------------------------------------------------------------------------------------------


class Many:
    """Sources of all lengths, some of which fail; each counts its starts and its closes."""

    def __init__(self, number: int, random: Random) -> None:
        self.random = random
        self.started, self.closed = [0] * number, [0] * number
        self.strayed = 0

    def source(self, number: int) -> Iterator[bytes]:
        thread = threading.get_ident()
        self.started[number] += 1
        try:
            for _ in range(self.random.randrange(50)):
                self.strayed += threading.get_ident() != thread
                if self.random.random() < 0.01:
                    raise LookupError
                yield b"x" * self.random.choice([1, 60_000])
        finally:
            self.strayed += threading.get_ident() != thread
            self.closed[number] += 1

    async def visit(self, number: int, threads: ThreadPool) -> None:
        """Read a source to its end, or leave at any moment; close it."""
        source = ThreadedIterator(self.source(number), threads)
        reading = asyncio.create_task(self._read(source))
        if self.random.random() < 0.5:
            await asyncio.sleep(self.random.choice([0, 0.0005, 0.002]))
            reading.cancel()
        await asyncio.wait([reading])
        with suppress(LookupError):
            await source.aclose()

    async def _read(self, source: ThreadedIterator) -> None:
        with suppress(LookupError):
            async for _ in source:
                if self.random.random() < 0.1:
                    await asyncio.sleep(0)


@pytest.mark.real_time
@pytest.mark.parametrize("seed", range(2))
async def test_of_many_sources_each_that_started_is_closed_once_in_its_thread(seed: int) -> None:
    number, threads = 1000, ThreadPool(8)
    many = Many(number, Random(seed))
    for first in range(0, number, 40):
        await asyncio.gather(*(many.visit(each, threads) for each in range(first, first + 40)))
    assert max(many.started) == 1
    assert many.closed == many.started
    assert many.strayed == 0
    assert threads.busy() == (0, 0, 0)


# -- the end of the loop, and of the process -----------------------------------------------------------------


def test_a_loop_ends_although_a_source_is_stuck_in_its_thread() -> None:
    feed = Feed()

    async def main() -> None:
        visit = Visit(feed(), ByteStream)
        await visit.got(b"hello")
        visit.leave()
        await turns()
        # From here on the runner cancels whatever is left: the cleanup too, which waits for the thread.

    asyncio.run(main())
    assert not feed.closed
    feed.go_on.set()


STUCK = """
import asyncio, time
from endwell.engine._pool import ThreadPool
from endwell.engine._threads import ThreadedIterator

def source():
    yield b"x"
    time.sleep(3600)

async def main():
    await anext(ThreadedIterator(source(), ThreadPool()))

asyncio.run(main())
"""


def test_a_stuck_thread_does_not_keep_the_interpreter_from_exiting() -> None:
    subprocess.run([sys.executable, "-c", STUCK], check=True, timeout=30)
