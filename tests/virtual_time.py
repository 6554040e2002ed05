"""An event loop whose clock jumps: 100 seconds take a millisecond, and go the same way every time.

The rule: time stands still while anything can run. When nothing can, the clock jumps to the next timer. When
there is no timer either, nothing will ever happen again, and `VirtualDeadlock` says which tasks wait for it.

The world outside the loop (a thread, a socket) does not live in virtual time. While there is some of it, the
loop waits for real, until that world has come to rest, before the clock jumps. A thread that sleeps counts as
at rest: for a source blocked in a thread, virtual deadlines pass at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import threading
import time
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

Ready: TypeAlias = list[tuple[selectors.SelectorKey, int]]

SLICE = 0.001  # seconds of real time to wait for the world outside, before looking whether it moved
QUIET_SLICES = 2  # this many without a move: at rest
PATIENCE = 5.0  # seconds of real time for a thread at rest to be woken by another, when no timer is left


class VirtualDeadlock(RuntimeError):
    """Every task waits, no timer is armed, and nothing outside the loop can wake it."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop in virtual time, which starts at 0 and moves only when all tasks wait."""

    def __init__(self) -> None:
        self._virtual_now = 0.0
        super().__init__(_JumpingSelector(self.advance, self._describe_deadlock))
        # What asyncio adds to the time to find the timers that are due. Its own nanosecond is lost in a
        # float's rounding after 97 days, and the timer would never be due.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """The virtual time in seconds."""
        return self._virtual_now

    def advance(self, seconds: float) -> None:
        """Let virtual time pass, as a computation in the middle of a step would."""
        # To the nanosecond, so that 0.1 + 0.2 is 0.3 in a test's expectation.
        self._virtual_now = round(self._virtual_now + seconds, 9)

    def _describe_deadlock(self) -> str:
        tasks = "\n  ".join(sorted(map(repr, asyncio.all_tasks(self)))) or "none"
        return (
            f"at {self._virtual_now} s every task waits, and nothing is left that could wake one:\n  {tasks}"
        )


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that, asked to wait with nothing ready, moves the clock instead."""

    def __init__(self, advance: Callable[[float], None], describe_deadlock: Callable[[], str]) -> None:
        super().__init__()
        self._advance = advance
        self._describe_deadlock = describe_deadlock
        # The test runner's own, and what another test has left behind: nothing to wait for.
        self._strangers = frozenset(threading.enumerate())

    def select(self, timeout: float | None = None) -> Ready:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        ready = self._wait_for_the_world(PATIENCE if timeout is None else 0)
        if ready:
            return ready
        if timeout is None:
            raise VirtualDeadlock(self._describe_deadlock())
        self._advance(timeout)
        return []

    def _wait_for_the_world(self, patience: float) -> Ready:
        """Wait until something is ready, or until the threads and sockets have been at rest for a moment.

        Args:
            patience: seconds of real time for which rest alone is not believed.
        """
        deadline = time.monotonic() + patience
        quiet = 0
        seen = self._cpu_times()
        # Beyond the loop's own pipe, each registered descriptor is a socket or a pipe of the test's.
        while seen or len(self.get_map()) > 1:
            ready = super().select(SLICE)
            if ready:
                return ready
            now = self._cpu_times()
            quiet = quiet + 1 if now == seen and not _any_runnable(now) else 0
            seen = now
            if quiet >= QUIET_SLICES and time.monotonic() >= deadline:
                break
        return super().select(0)  # what a thread said with its last breath

    def _cpu_times(self) -> dict[int, float]:
        """What each helper thread has used of the processor so far: one that works, moves."""
        helpers = set(threading.enumerate()) - self._strangers - {threading.current_thread()}
        return {
            thread.native_id: _cpu_time(thread.ident)
            for thread in helpers
            if thread.ident is not None and thread.native_id is not None
        }


def _any_runnable(native_ids: dict[int, float]) -> bool:
    """Whether one of the threads could work but got no processor in the last slice: others use it."""
    return any(_state(native_id) == "R" for native_id in native_ids)


def _state(native_id: int) -> str:
    with contextlib.suppress(OSError), open(f"/proc/self/task/{native_id}/stat", encoding="ascii") as stat:  # noqa: PTH123
        return stat.read().rpartition(")")[2].split()[0]
    return "?"


def _cpu_time(ident: int) -> float:
    try:
        return time.clock_gettime(time.pthread_getcpuclockid(ident))
    except OSError:
        return -1.0  # it has ended meanwhile: a change too
