"""Noticing that an event loop does not turn, and naming the code that blocks it.

The loop keeps a timer; a thread looks, now and then, how long that timer has been due. So nothing is paid per
chunk or request, and a loop that does not answer need not be asked.

Time in which nothing of this process could run is nobody's fault. A thread that wakes up much later than it
wanted, while the process hardly used the processor, tells of such time: the process was suspended (SIGSTOP),
or the machine was busy with others. It is taken off. If the process did use the processor meanwhile, code in
C kept the interpreter's lock from everybody else; that blocks the loop too, and is reported when it is over.
What cannot be told from a suspension is code in C that keeps the lock and *waits*.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import deque
from types import TracebackType
from typing import NamedTuple, Self

from endwell.engine._frames import calling, name
from endwell.errors import ConfigurationError
from endwell.observe import logger

_MEMORY = 64
"""Naps and late turns that are kept. The thread needs the latest ones only."""


_LOOKS = 4
"""Looks per period at a loop that is late. A suspension shorter than from one to the next goes unnoticed."""


_BREATH = 0.001
"""Seconds between two looks, at least."""


class Senses:
    """What the watching thread perceives of time, in seconds."""

    def now(self) -> float:
        """A clock that is never set."""
        return time.monotonic()

    def worked(self) -> float:
        """How long this process has used the processor."""
        return time.process_time()

    def wait(self, stopped: threading.Event, seconds: float) -> bool:
        """Wait for `seconds`, or until `stopped` is set; whether it is."""
        return stopped.wait(seconds)


class Span(NamedTuple):
    """A time from one moment to another."""

    since: float
    until: float


class Vigil:
    """What can be said of a loop, from when it was looked at and what was seen. Pure: times come in.

    Args:
        threshold: Seconds that make a blockage.
        period: Seconds from one turn to the time at which the next is due.
        now, worked: What the `Senses` say at the beginning.
    """

    def __init__(self, threshold: float, period: float, now: float, worked: float) -> None:
        self._threshold = threshold
        self._period = period
        self._looked = now
        self._worked = worked
        self._asked = period
        self._naps: deque[Span] = deque(maxlen=_MEMORY)

    def patience(self, due: float) -> float:
        """Seconds until the next look at a loop whose next turn is due at `due`."""
        late = self._looked - due
        if late < 0:  # the loop has its chance first, and the thread wakes up once for each turn
            self._asked = -late + self._period / _LOOKS
        elif late < self._threshold:
            self._asked = min(self._period / _LOOKS, max(_BREATH, self._threshold - late))
        else:
            self._asked = self._period
        return self._asked

    def look(self, now: float, worked: float, *, running: bool) -> None:
        """It is looked, at `now`. Time that the loop was stopped, or this process could not run, is free."""
        overslept = now - self._looked - self._asked
        was_suspended = overslept > self._period / _LOOKS and worked - self._worked < overslept / 2
        if was_suspended or not running:
            is_same = bool(self._naps) and self._naps[-1].until == self._looked
            self._naps.append(Span(self._naps.pop().since if is_same else self._looked, now))
        self._looked, self._worked = now, worked

    def blocked(self, span: Span) -> float:
        """How long the loop could have turned in that time, and did not."""
        naps = sum(max(0.0, min(span.until, nap.until) - max(span.since, nap.since)) for nap in self._naps)
        return span.until - span.since - naps


class Watchdog:
    """Logs a WARNING when the running event loop has not turned for some time, with the line it is in.

    One for each blockage; when that is over, a line at INFO tells how long it was. A blockage that was over
    before it could be seen is told in its one WARNING.

    ```python
    async with Watchdog(1.0):
        ...
    ```

    Args:
        threshold: Seconds. A blockage is reported when it has lasted that long, or half as long again.
        senses: For tests.

    Raises:
        ConfigurationError: `threshold` is no finite number of seconds, more than 0.
    """

    def __init__(self, threshold: float, *, senses: Senses | None = None) -> None:
        is_number = isinstance(threshold, (int, float)) and not isinstance(threshold, bool)
        if not is_number or not 0 < threshold <= threading.TIMEOUT_MAX:
            raise ConfigurationError(
                f"watchdog must be a finite number of seconds, more than 0; got {threshold!r}"
            )
        self._threshold = threshold
        self._period = threshold / 2
        self._senses = senses or Senses()
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = threading.Event()
        self._late: deque[Span] = deque(maxlen=_MEMORY)
        self._due = 0.0
        self._thread_id = 0
        self._depth = 0

    # -- on the loop -------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Watch the running loop; no change if it is being watched."""
        if self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        self._stopped = threading.Event()
        self._late.clear()
        self._thread_id, self._depth = threading.get_ident(), 0
        self._arm(loop)
        threading.Thread(
            target=self._watch, args=(loop, self._stopped), name="endwell watchdog", daemon=True
        ).start()

    def stop(self) -> None:
        """Watch no longer; waits for nothing. To be called on the loop, or when it is closed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._stopped.set()

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = self._senses.now() + self._period
        self._timer = loop.call_later(self._period, self._turn, loop)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        turn = Span(self._due, self._senses.now())
        if turn.until - turn.since >= self._threshold:
            self._late.append(turn)
        # What runs inside the loop lies above the frames that lead here; and a loop may change its thread.
        self._thread_id, self._depth = threading.get_ident(), len(calling(sys._getframe())) - 1  # noqa: SLF001
        self._arm(loop)

    # -- in the thread -----------------------------------------------------------------------------------

    def _watch(self, loop: asyncio.AbstractEventLoop, stopped: threading.Event) -> None:
        senses = self._senses
        vigil = Vigil(self._threshold, self._period, senses.now(), senses.worked())
        is_reported = False
        while not senses.wait(stopped, vigil.patience(self._due)) and not loop.is_closed():
            running = loop.is_running()
            vigil.look(senses.now(), senses.worked(), running=running)
            while self._late:
                self._tell_of(vigil.blocked(self._late.popleft()), is_reported=is_reported)
                is_reported = False
            seconds = vigil.blocked(Span(self._due, senses.now()))
            if running and not is_reported and seconds >= self._threshold:
                is_reported = True
                logger.warning(
                    "the event loop has not turned for at least %.1f s: %s", seconds, self._where()
                )

    def _tell_of(self, seconds: float, *, is_reported: bool) -> None:
        """Tell of a blockage that is over."""
        if is_reported:
            logger.info("the event loop turns again, after at least %.1f s", seconds)
        elif seconds >= self._threshold:
            logger.warning(
                "the event loop did not turn for at least %.1f s; it was over before anybody could see where",
                seconds,
            )

    def _where(self) -> str:
        frames = calling(sys._current_frames().get(self._thread_id))  # noqa: SLF001
        return name(frames[self._depth :] or frames[-1:])
