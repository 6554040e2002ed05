"""What a test leaves behind: tasks, async generators, threads, descriptors. Leaving something is failing.

Each check looks at the thing itself, right after the test; none waits for the garbage collector to notice.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Iterator
    from types import AsyncGeneratorType

DESCRIPTORS = Path("/proc/self/fd")
JOIN = 1.0  # seconds for a thread that is about to end
TURNS = 3  # of the loop, for tasks that are about to end: cancelled already, or done but for their return


class Leak(AssertionError):
    """A test left something behind."""


def _complain(leaks: list[str]) -> None:
    if leaks:
        raise Leak("left behind:\n  " + "\n  ".join(leaks))


# -- inside the loop -----------------------------------------------------------------------------------------


async def watched(test: Coroutine[Any, Any, None]) -> None:
    """Run an async test, then see that its loop is as empty as it was.

    Raises:
        Leak: the test passed, but left a task or an async generator, or an exception that nobody retrieved.
    """
    unheard: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unheard.append(f"unheard of: {context}"))
    generators = _Generators()
    await test
    for _ in range(TURNS):
        await asyncio.sleep(0)
    gc.collect()  # so that what nobody retrieved is heard of now
    _complain([*_tasks_besides(asyncio.current_task()), *generators.leaks(), *unheard])


def _tasks_besides(watcher: asyncio.Task[Any] | None) -> Iterator[str]:
    return (f"task: {task!r}" for task in asyncio.all_tasks() if task is not watcher)


class _Generators:
    """Counts the async generators that were started in this thread and not brought to their end."""

    def __init__(self) -> None:
        self._started: weakref.WeakSet[AsyncGenerator[Any, Any]] = weakref.WeakSet()
        self._abandoned: list[str] = []
        self._loops = sys.get_asyncgen_hooks()
        # The loop puts its own hooks back when it stops.
        sys.set_asyncgen_hooks(firstiter=self._start, finalizer=self._abandon)

    def _start(self, generator: AsyncGenerator[Any, Any]) -> None:
        self._started.add(generator)
        if self._loops.firstiter is not None:
            self._loops.firstiter(generator)

    def _abandon(self, generator: AsyncGenerator[Any, Any]) -> None:
        """The garbage collector found it suspended: nobody can close it any more, in the task that ran it."""
        # Starlettes before 1.0 forget one of their own in each BaseHTTPMiddleware: not ours to mend.
        if "/starlette/" not in cast("AsyncGeneratorType[Any, Any]", generator).ag_code.co_filename:
            self._abandoned.append(f"async generator, left to the garbage collector: {generator!r}")
        if self._loops.finalizer is not None:
            self._loops.finalizer(generator)

    def leaks(self) -> list[str]:
        unfinished = (
            generator
            for generator in self._started
            if cast("AsyncGeneratorType[Any, Any]", generator).ag_frame
        )
        return [
            *self._abandoned,
            *(f"async generator, neither exhausted nor closed: {each!r}" for each in unfinished),
        ]


# -- around every test ---------------------------------------------------------------------------------------


class Process:
    """What the process holds at one moment; `compare` names what a later one holds in addition."""

    def __init__(self) -> None:
        self._threads = set(threading.enumerate())
        self._descriptors = _descriptors()

    def compare(self) -> None:
        """Raise `Leak` for threads and descriptors that are new and still there."""
        _complain([*self._new_threads(), *self._new_descriptors()])

    def _new_threads(self) -> Iterator[str]:
        for thread in set(threading.enumerate()) - self._threads:
            # Other people's daemons are their own business; endwell's are not.
            if not thread.daemon or thread.name.startswith("endwell"):
                thread.join(JOIN)
                if thread.is_alive():
                    yield f"thread: {thread!r}"

    def _new_descriptors(self) -> list[str]:
        new = _descriptors() - self._descriptors
        if new:
            gc.collect()  # an unclosed file warns of itself, and a warning is an error: better than a number
            new = _descriptors() - self._descriptors
        return [f"descriptor {number}: {target}" for number, target in sorted(new)]


def _descriptors() -> set[tuple[int, str]]:
    """The open descriptors of this process and what they are; empty where there is no /proc."""
    found = set()
    with suppress(FileNotFoundError):
        for entry in os.listdir(DESCRIPTORS):  # noqa: PTH208
            with suppress(FileNotFoundError):  # the listing's own, closed by now
                found.add((int(entry), os.readlink(DESCRIPTORS / entry)))  # noqa: PTH115
    return found
