"""The threads of sync sources: a bounded number of them, and each source in one of its own.

A sync source keeps its thread for its whole life, so that what belongs to a thread (a sqlite3 cursor) stays
in it. So a source that is silent for hours holds a thread for hours, and the bound is on sources, not on
steps: those above it wait for their turn, first come, first served.

Threads are not kept for the next source: it would find what the last one had left in its thread-locals, such
as a database session. A fresh one costs 0.1 to 0.2 ms, and next to nothing remains when a stream is over.

A thread whose source was let go in the middle of a step cannot be ended. It no longer counts against the
bound, or that many stuck steps would be the end of all sync sources; it is counted apart, and named.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import NamedTuple
from weakref import WeakKeyDictionary

from endwell.engine._frames import calling, name
from endwell.errors import ConfigurationError
from endwell.observe import logger

DEFAULT_SIZE = 256
"""Sync sources that run at the same time, if nobody says how many. A silent one costs some 100 KiB and no
processor; where hundreds are *computing*, the interpreter's lock is the limit long before."""

# The pools for streams without an application, one per event loop: to be bounded, they have to share one, and
# what they have in common is their loop.
_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, ThreadPool] = WeakKeyDictionary()


class Busy(NamedTuple):
    """The sync sources of a pool at one moment.

    Attributes:
        running: In their threads; these count against the bound.
        waiting: For a thread.
        let_go: Those that nobody waits for any longer, still in a step that does not return.
    """

    running: int
    waiting: int
    let_go: int


@dataclass(eq=False, slots=True)
class Job:
    """What one thread does.

    Args:
        work: Runs in the thread. It must not raise.
        done: Called when the work is over, in the thread; or with the reason why no thread could be started,
            in any thread.
        label: What it is, for the log.
    """

    work: Callable[[], None]
    done: Callable[[Exception | None], None]
    label: str
    thread: threading.Thread | None = None
    let_go_at: float = 0.0

    def frame(self) -> FrameType | None:
        """What the thread is running; None before and after."""
        thread = self.thread
        if thread is None or thread.ident is None or not thread.is_alive():
            return None  # the next thread may have its number
        return sys._current_frames().get(thread.ident)  # noqa: SLF001

    def forget(self) -> None:
        """Refer to nobody any more: whoever has the job would be garbage for the collector otherwise."""
        self.work, self.done = _nothing, _nothing


class ThreadPool:
    """Runs each job in a daemon thread of its own, at most `size` at a time. Usable from any thread.

    Args:
        size: Jobs that run at the same time; those that were let go do not count.

    Raises:
        ConfigurationError: `size` is no positive whole number.
    """

    def __init__(self, size: int = DEFAULT_SIZE) -> None:
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ConfigurationError(f"threads must be a whole number, 1 or more; got {size!r}")
        self.size = size
        self._lock = threading.Lock()
        self._running: set[Job] = set()
        self._waiting: dict[Job, None] = {}  # in the order they came; one may leave from the middle
        self._let_go: set[Job] = set()
        self._crowded = False

    def busy(self) -> Busy:
        """How many jobs are running, waiting, and let go."""
        with self._lock:
            return self._busy()

    def run(self, job: Job) -> None:
        """Run `job` in a thread: at once, or when it is its turn."""
        with self._lock:
            self._waiting[job] = None
            following = self._admit()
            is_news = bool(self._waiting) and not self._crowded
            self._crowded |= is_news
        if is_news:
            logger.warning(
                "the threads for sync sources (%d) are all in use, and others wait; see Streams(threads=…)",
                self.size,
            )
        self._start(following)

    def withdraw(self, job: Job) -> bool:
        """Take back a job that is waiting. False: it has a thread, or had one."""
        with self._lock:
            if job not in self._waiting:
                return False
            del self._waiting[job]
        job.forget()
        return True

    def let_go(self, job: Job) -> None:
        """Nobody waits for `job` any longer: say where it hangs, and count it no more."""
        with self._lock:
            if job not in self._running:
                return
            self._running.remove(job)
            self._let_go.add(job)
            job.let_go_at = time.monotonic()
            following = self._admit()
            busy = self._busy()
        logger.warning(
            "%s is still at %s: its thread is let go (sync sources: %d running, %d waiting, %d let go)",
            job.label,
            name(calling(job.frame())),
            *busy,
        )
        self._start(following)

    def _busy(self) -> Busy:
        return Busy(len(self._running), len(self._waiting), len(self._let_go))

    def _admit(self) -> list[Job]:
        """Take those whose turn it is from the queue."""
        room = max(0, self.size - len(self._running))
        admitted = [job for job, _ in zip(self._waiting, range(room), strict=False)]
        for job in admitted:
            del self._waiting[job]
        self._running.update(admitted)
        # Not told again at each turn of a full pool, but when it fills up once more.
        self._crowded &= len(self._running) > self.size // 2
        return admitted

    def _start(self, jobs: list[Job]) -> None:
        while jobs:
            job = jobs.pop()
            job.thread = threading.Thread(target=self._run, args=(job,), name="endwell source", daemon=True)
            try:
                job.thread.start()
            except RuntimeError as error:
                error.add_note(f"for {job.label}; threads for sync sources in use: {len(self._running)}")
                jobs += self._over(job)
                job.done(error)
                job.forget()

    def _run(self, job: Job) -> None:
        job.work()
        following = self._over(job)
        job.done(None)
        job.forget()
        self._start(following)

    def _over(self, job: Job) -> list[Job]:
        with self._lock:
            came_back = job in self._let_go
            self._let_go.discard(job)
            self._running.discard(job)
            following = self._admit()
            remaining = len(self._let_go)
        if came_back:
            seconds = time.monotonic() - job.let_go_at
            logger.info("%s came back, %.1f s after it was let go (%d still)", job.label, seconds, remaining)
        return following


def _nothing(_: Exception | None = None) -> None:
    pass


def pool_of(loop: asyncio.AbstractEventLoop) -> ThreadPool:
    """Return the pool for streams on `loop` that have no application."""
    return _pools.setdefault(loop, ThreadPool())
