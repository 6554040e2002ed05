"""A blocked event loop is reported once, with its line; what is nobody's fault is not."""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell import ConfigurationError
from endwell.engine._watchdog import Senses, Span, Watchdog

PATIENCE = 5.0
"""Seconds of real time for what happens at once."""


# -- its logic, in a world whose time is a number ------------------------------------------------------------


class World(Senses):
    """One loop and one watching thread, and times at which either cannot run. It lasts 100 seconds.

    Args:
        blocked: When something blocks the loop, without the interpreter's lock.
        greedy: When something in C blocks the loop, and keeps that lock from the thread too.
        suspended: When the process is suspended.
        idle: When the loop is stopped.
        loop_first: Of loop and thread, which goes on first when both can.
    """

    def __init__(
        self,
        *,
        blocked: Span | None = None,
        greedy: Span | None = None,
        suspended: Span | None = None,
        idle: Span | None = None,
        loop_first: bool = True,
    ) -> None:
        nothing = Span(0, 0)
        self._greedy = greedy or nothing
        self._idle = idle or nothing
        for_all = [self._greedy, suspended or nothing]
        self._keeps_thread = for_all
        self._keeps_loop = [blocked or nothing, self._idle, *for_all]
        self._loop_first = loop_first
        self._now = 0.0
        self._timer: tuple[float, Callable[[], None]] | None = None
        self._closed = False

    def watch(self, threshold: float) -> None:
        """Have a watchdog live through all of it."""
        watchdog = Watchdog(threshold, senses=self)
        watchdog._arm(self)  # type: ignore[arg-type]
        watchdog._watch(self, threading.Event())  # type: ignore[arg-type]

    # what the thread perceives

    def now(self) -> float:
        return self._now

    def worked(self) -> float:
        return max(0.0, min(self._now, self._greedy.until) - self._greedy.since)

    def wait(self, stopped: threading.Event, seconds: float) -> bool:
        woken = _after(self._now + seconds, self._keeps_thread)
        self._turn_until(woken)
        self._now = woken
        return self._now > 100

    # the loop

    def call_later(self, seconds: float, call: Callable[..., None], *args: Any) -> None:
        self._timer = (self._now + seconds, lambda: call(*args))

    def is_running(self) -> bool:
        return not self._idle.since <= self._now < self._idle.until

    def is_closed(self) -> bool:
        return self._closed

    def _turn_until(self, end: float) -> None:
        while self._timer is not None:
            due, call = self._timer
            at = _after(due, self._keeps_loop)
            if at > end or (at == end and not self._loop_first):
                return
            self._now, self._timer = at, None
            call()


def _after(time: float, spans: list[Span]) -> float:
    """The first moment from `time` on that is in none of the spans."""
    for _ in spans:
        time = max([time, *(span.until for span in spans if span.since <= time < span.until)])
    return time


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The beginnings of the lines that were logged."""
    return [f"{record.levelname} {record.message.split(' s', 1)[0]}" for record in caplog.records]


NOT_TURNED = "WARNING the event loop has not turned for at least"
WAS_BLOCKED = "WARNING the event loop did not turn for at least"
TURNS = "INFO the event loop turns again, after at least"


@pytest.fixture(autouse=True)
def _hear_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "endwell")


def test_a_loop_that_turns_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    World().watch(1)
    assert told(caplog) == []


def test_a_blockage_is_reported_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    World(blocked=Span(10.2, 20)).watch(1)
    # The loop was to turn at 10.5. Nothing is known of it before: so it is "at least".
    assert told(caplog) == [f"{NOT_TURNED} 1.0", f"{TURNS} 9.5"]


def test_a_blockage_shorter_than_the_threshold_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    World(blocked=Span(10.2, 11.1)).watch(1)
    assert told(caplog) == []


@pytest.mark.parametrize("loop_first", [True, False])
def test_a_suspended_process_is_no_blocked_loop(caplog: pytest.LogCaptureFixture, loop_first: bool) -> None:
    World(suspended=Span(10.2, 20), loop_first=loop_first).watch(1)
    assert told(caplog) == []


@pytest.mark.parametrize("loop_first", [True, False])
def test_the_time_of_a_suspension_does_not_count(caplog: pytest.LogCaptureFixture, loop_first: bool) -> None:
    World(blocked=Span(10.2, 30), suspended=Span(15, 25), loop_first=loop_first).watch(1)
    report, end = told(caplog)
    assert report == f"{NOT_TURNED} 1.0"
    assert 9 <= float(end.removeprefix(TURNS)) <= 9.5


def test_a_stopped_loop_is_no_blocked_one(caplog: pytest.LogCaptureFixture) -> None:
    World(idle=Span(10.2, 90)).watch(1)
    assert told(caplog) == []


def test_code_that_keeps_the_interpreters_lock_is_reported_when_it_gives_it_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    World(greedy=Span(10.2, 20), loop_first=False).watch(1)
    assert told(caplog) == [f"{NOT_TURNED} 9.5", f"{TURNS} 9.5"]


def test_what_was_over_before_it_could_be_seen_is_reported_too(caplog: pytest.LogCaptureFixture) -> None:
    World(greedy=Span(10.2, 20), loop_first=True).watch(1)
    assert told(caplog) == [f"{WAS_BLOCKED} 9.5"]


def test_a_loop_that_is_closed_is_no_longer_watched(caplog: pytest.LogCaptureFixture) -> None:
    world = World(blocked=Span(10, 1000))
    world._closed = True
    world.watch(1)
    assert world.now() <= 1
    assert told(caplog) == []


@given(
    threshold=st.floats(0.5, 10),
    since=st.floats(0, 40),
    seconds=st.floats(0, 40),
    suspended=st.tuples(st.floats(0, 90), st.floats(0, 90)),
    loop_first=st.booleans(),
)
def test_every_blockage_that_is_half_as_long_again_is_reported_once_and_none_that_is_shorter(
    threshold: float, since: float, seconds: float, suspended: tuple[float, float], loop_first: bool
) -> None:
    asleep = Span(min(suspended), max(suspended))
    until = since + seconds
    awake = seconds - max(0.0, min(until, asleep.until) - max(since, asleep.since))
    with heard() as lines:
        World(blocked=Span(since, until), suspended=asleep, loop_first=loop_first).watch(threshold)
    warnings = [line for line in lines if line.levelno == logging.WARNING]
    assert len(warnings) <= 1
    assert len(lines) <= 2
    # A suspension of less than a fourth of the threshold may go unnoticed.
    if awake < threshold * 3 / 4:
        assert not warnings
    # Up to a period may be lost at the beginning of the blockage, and at both ends of the suspension.
    elif awake > threshold * 2.5:
        assert warnings


@contextmanager
def heard() -> Iterator[list[logging.LogRecord]]:
    """What endwell logs within the block. Unlike `caplog`, one for each example of Hypothesis'."""
    ears = Ears()
    logging.getLogger("endwell").addHandler(ears)
    try:
        yield ears.lines
    finally:
        logging.getLogger("endwell").removeHandler(ears)


class Ears(logging.Handler):
    """Keeps what is logged, and lets others wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[logging.LogRecord] = []
        self.warned, self.informed = threading.Event(), threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        record.getMessage()
        self.lines.append(record)
        (self.warned if record.levelno == logging.WARNING else self.informed).set()


# -- real loops, really blocked ------------------------------------------------------------------------------


@contextmanager
def listening() -> Iterator[Ears]:
    """Hear endwell's log, from any thread."""
    ears = Ears()
    logging.getLogger("endwell").addHandler(ears)
    try:
        yield ears
    finally:
        logging.getLogger("endwell").removeHandler(ears)


def block_until(event: threading.Event) -> None:
    assert event.wait(PATIENCE)


async def a_blocked_loop_is_reported() -> None:
    """Block the loop until that has been reported."""
    with listening() as ears:
        async with Watchdog(0.05):
            await asyncio.sleep(0.1)
            block_until(ears.warned)
            await asyncio.to_thread(block_until, ears.informed)
    report, end = (line.getMessage() for line in ears.lines)
    assert "block_until (" in report
    assert "test_watchdog.py:" in report
    assert ", in Condition.wait (" in report
    assert end.startswith("the event loop turns again")


@pytest.mark.real_time
@pytest.mark.may_block
async def test_the_line_that_blocks_an_asyncio_loop_is_named() -> None:
    await a_blocked_loop_is_reported()


@pytest.mark.real_time(loop="uvloop")
@pytest.mark.may_block
async def test_the_line_that_blocks_a_uvloop_is_named() -> None:
    await a_blocked_loop_is_reported()


def test_each_of_several_loops_in_their_threads_has_its_own_watchdog() -> None:
    with listening() as ears:
        idle, busy = threading.Event(), threading.Event()

        async def wait_idly() -> None:
            async with Watchdog(0.05):
                idle.set()
                await asyncio.to_thread(busy.wait, PATIENCE)

        async def block() -> None:
            async with Watchdog(0.05):
                await asyncio.to_thread(idle.wait, PATIENCE)
                block_until(ears.warned)
                busy.set()

        threads = [threading.Thread(target=asyncio.run, args=(main(),)) for main in (wait_idly, block)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    report, *more = (line.getMessage() for line in ears.lines if line.levelno == logging.WARNING)
    assert "block_until (" in report
    assert more == []


@pytest.mark.real_time
async def test_a_watchdog_can_be_started_and_stopped_again_and_twice() -> None:
    watchdog = Watchdog(60)
    watchdog.stop()
    for _ in range(2):
        watchdog.start()
        watchdog.start()
        assert sum(thread.name == "endwell watchdog" for thread in threading.enumerate()) == 1
        watchdog.stop()
        watchdog.stop()
        for thread in threading.enumerate():
            if thread.name == "endwell watchdog":
                thread.join(PATIENCE)


def test_a_watchdog_that_nobody_stopped_ends_with_its_loop() -> None:
    watchdog = Watchdog(0.05)

    async def main() -> None:
        watchdog.start()

    asyncio.run(main())
    watchdog.stop()


FORGETFUL = """
import asyncio
from endwell.engine._watchdog import Watchdog
async def main():
    Watchdog(1e6).start()
loop = asyncio.new_event_loop()
loop.run_until_complete(main())
"""


def test_a_watchdog_does_not_keep_the_process_alive() -> None:
    subprocess.run([sys.executable, "-c", FORGETFUL], check=True, timeout=30)


SUSPENDED = """
import asyncio, logging, sys
from endwell.engine._watchdog import Watchdog
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
async def main():
    async with Watchdog(0.2):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await asyncio.sleep(0.3)
asyncio.run(main())
"""


def test_a_process_that_is_suspended_and_goes_on_reports_nothing() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SUSPENDED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.6)
        process.send_signal(signal.SIGCONT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, b"")


@pytest.mark.parametrize("threshold", [0, -1, float("nan"), float("inf"), "5", True, None, 1e300])
def test_a_threshold_that_is_no_number_of_seconds_is_refused(threshold: Any) -> None:
    with pytest.raises(ConfigurationError, match="watchdog must be a finite number of seconds, more than 0"):
        Watchdog(threshold)
