"""Plays one schedule on the real engine."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from endwell import ByteStream, Ending, EventStream
from endwell.engine import Registry, _pull
from tests.interleaving.loop import SteppedLoop
from tests.interleaving.schedule import PRELUDES, TIMES, Schedule, deadlines, policy_for
from tests.interleaving.server import Server
from tests.interleaving.sources import SOURCES, Stage

RESPONSES: dict[str, Any] = {"sse": EventStream, "raw": ByteStream}

_PATIENCE = 5_000
"""Handles after which a schedule that still has something to run is taken for endless."""

Witness = Callable[[SteppedLoop, str], None]
"""Is told of each handle before it runs, and of each act."""


class Endless(AssertionError):
    """The engine is busy for ever."""


class Play:
    """One performance, and all that is to be seen of it afterwards.

    Attributes:
        loop, stage, server, registry: Those who play.
        endings: What `on_end` was told.
        groups: The acts as they came: those in one group without rest between them.
        happened: For each act, how many handles really ran before it.
        cancels: How often the request's task was cancelled from outside.
        stopped: What the answers to `stop` were.
        over_at: When the request's task was over.
        passed: Seconds that the acts let pass.
        lagged_to: The time until which the loop was late on purpose.
        was_restful: There was rest before each act.
        was_shut_down: Every task was cancelled: those that tell of the ending, too.
        finale: The client had to be made to leave, because nothing else ended the stream.
    """

    def __init__(self, schedule: Schedule, witness: Witness | None = None) -> None:
        self.schedule = schedule
        self.policy = policy_for(deadlines(schedule.names), schedule.manner)
        self.loop = SteppedLoop()
        self.witness = witness
        self.endings: list[Ending] = []
        self.groups: list[list[str]] = [[]]
        self.happened: list[int] = []
        self.cancels = 0
        self.stopped: list[bool] = []
        self.over_at: float | None = None
        self.lagged_to = self.passed = 0.0
        self.finale = False
        self.was_restful = True
        self.was_shut_down = False
        self.stage: Stage
        self.server: Server
        self.registry: Registry

    def run(self) -> Play:
        """Play it, from the request to the last task's end."""
        with self.loop:
            self._enter()
            for act in PRELUDES[self.schedule.prelude]:
                self._act(act)
                self._rest()
                self.groups.append([])
            for what, gap in self.schedule.acts:
                self._wait(what, gap)
                self._act(what)
            self._conclude()
        return self

    def _enter(self) -> None:
        schedule = self.schedule
        self.stage = Stage(frozenset(schedule.names) & {"slow", "raising"})
        self.registry = Registry(self.policy)
        response = RESPONSES[schedule.wire](
            SOURCES[schedule.source](self.stage),
            policy=self.policy,
            owns=[self.stage.resource("first"), self.stage.resource("second", turns=2)],
            on_end=self._hear,
        )
        # No addresses: what is looked up among the process's descriptors is looked up in a thread.
        self.server = Server(
            response, schedule.flavour, state={"endwell": self.registry}, client=None, server=None
        )
        self.server.task.add_done_callback(self._over)
        asyncio.Task.set_name(self.server.task, "request")  # type: ignore[arg-type]

    async def _hear(self, ending: Ending) -> None:
        self.endings.append(ending)

    def _over(self, _: object) -> None:
        self.over_at = self.loop.time()

    # -- the schedule ------------------------------------------------------------------------------------

    def _wait(self, what: str, gap: int) -> None:
        """Let as many handles run as the gap says; to the end of the turn, if time is to pass."""
        ran = 0
        while ran < gap and self._step():
            ran += 1
        while what in TIMES and not self.loop.between_turns and self._step():
            ran += 1
        self.happened.append(ran)
        if self.loop.peek() is None:
            self.groups.append([])
        else:
            self.was_restful = False

    def _act(self, what: str) -> None:
        if self.witness is not None:
            self.witness(self.loop, f"== {what}")
        if self.server.began_at is not None or what not in ("stop", *TIMES):
            self.groups[-1].append(what)  # before there is a stream it cannot be stopped, nor its time pass
        if what in TIMES:
            self._pass_time(what)
        elif what in ("chunk", "end", "raise"):
            self.stage.command(what)
        elif what in ("slow", "raising"):
            self.stage.let_clean(what)
        else:
            _ACTS[what](self)

    def _pass_time(self, what: str) -> None:
        """As much as the policy gives this deadline. A loop that has nothing to do wakes for each timer."""
        seconds = getattr(self.policy, what)
        self.passed += seconds
        if self.loop.peek() is not None:
            self.loop.lag(seconds, self._note)
            self.lagged_to = self.loop.time()
            return
        until = self.loop.time() + seconds
        while self.loop.pass_time(until):
            self._rest()

    def stop(self) -> None:
        """Stop the stream, as the stop button would."""
        for snapshot in self.registry.active():
            self.stopped.append(bool(self.registry.stop(snapshot.id, "asked")))

    def cancel(self) -> None:
        """Cancel the request's task."""
        self.cancels += self.server.task.cancel()

    def shutdown(self) -> None:
        """Cancel every task."""
        self.was_shut_down = True
        for task in self.loop.tasks:
            accepted = task.cancel()
            self.cancels += accepted and task is self.server.task

    # -- running -----------------------------------------------------------------------------------------

    def _step(self) -> bool:
        self._note(self.loop.peek())
        if self.loop.ran > _PATIENCE:
            raise Endless(f"busy for ever: {self.loop.peek()!r}")
        return self.loop.step()

    def _note(self, handle: asyncio.Handle | None) -> None:
        if self.witness is not None and handle is not None:
            self.witness(self.loop, describe(handle))

    def _rest(self) -> None:
        """Run what can be run without time."""
        while self._step():
            pass

    def _conclude(self) -> None:
        """Let it come to its end; whatever would never end is ended by the client's leaving."""
        self._rest()
        if not self.server.task.done():
            self.finale = True
            self.groups.append([])
            self._act("leave")
            self._rest()
        while not self.server.task.done() and self.loop.pass_time():
            self._rest()
        self.stage.free()
        self._rest()
        while self.loop.pass_time():
            self._rest()


_ACTS: dict[str, Callable[[Play], None]] = {
    "leave": lambda play: play.server.go(),
    "cancel": Play.cancel,
    "shutdown": Play.shutdown,
    "stop": Play.stop,
    "drain": lambda play: play.registry.drain(),
    "block": lambda play: play.server.block(),
    "resume": lambda play: play.server.go_on(),
    "fail": lambda play: play.server.fail(ConnectionResetError()),
    "crash": lambda play: play.server.fail(LookupError()),
}

# -- the world around ----------------------------------------------------------------------------------------


class Reports(logging.Handler):
    """Takes what endwell logs, and formats nothing of it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class CountingClock:
    """In the place of the one clock in the engine that is not the loop's: so many looks are a slice."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        self._now += _pull.SLICE / 2.5
        return self._now


@contextmanager
def world() -> Iterator[Reports]:
    """What schedules are to be played in: what endwell logs is collected, and no real clock is looked at."""
    logger, reports, pulling = logging.getLogger("endwell"), Reports(), vars(_pull)
    before = (logger.level, logger.propagate, pulling["monotonic"])
    logger.addHandler(reports)
    logger.setLevel(logging.WARNING)
    logger.propagate, pulling["monotonic"] = False, CountingClock()
    try:
        yield reports
    finally:
        logger.removeHandler(reports)
        logger.setLevel(before[0])
        logger.propagate, pulling["monotonic"] = before[1:]


def describe(handle: asyncio.Handle) -> str:
    """What a handle is about to do, in words that are the same every time."""
    callback: Any = handle._callback  # type: ignore[attr-defined]
    task = getattr(callback, "__self__", None)
    if isinstance(task, asyncio.Task):
        return f"{_NUMBERS.sub('', task.get_name())}: {_where(task.get_coro())}"
    timer = "timer: " if isinstance(handle, asyncio.TimerHandle) else ""
    return timer + getattr(callback, "__qualname__", type(callback).__qualname__)


_NUMBERS = re.compile(r"-\d+$| [0-9a-f]{24}$")


def _where(awaited: Any) -> str:
    """The functions that a coroutine is in, the innermost last, and the line of each."""
    names = []
    while awaited is not None:
        frame = _one_of(awaited, "cr_frame", "ag_frame", "gi_frame")
        if frame is not None:
            names.append(f"{frame.f_code.co_name}:{frame.f_lineno}")
        awaited = _one_of(awaited, "cr_await", "ag_await", "gi_yieldfrom")
    return " > ".join(names[-4:])


def _one_of(thing: Any, *names: str) -> Any:
    return next((getattr(thing, name) for name in names if hasattr(thing, name)), None)
