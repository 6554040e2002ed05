"""One launch: a server, its visitors, a signal, and what became of all of them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from tests.servers.servers import Server, start
from tests.shutdown.durations import DRAIN
from tests.shutdown.journal import Entry, Journal
from tests.shutdown.served import Served
from tests.shutdown.situations import SITUATIONS, Situation
from tests.shutdown.visitors import Told, Visitor

GIVEN_UP_AFTER = 8.0
"""Seconds after the deadline at which a process that is still there is killed."""
READY_WITHIN = 30.0
HELPERS_WITHIN = 0.5
"""Seconds after its main process in which a server's helpers end, such as multiprocessing's own."""


class NotReached(Exception):
    """A launch did not come to its situation, so there is nothing to judge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What to launch.

    Attributes:
        served: the server.
        names: the situations.
        drain: the policy's, in seconds.
        again: seconds after which a second signal follows, to all processes of the server: most supervisors
            pass on the first one alone.
        patience: seconds more that everything may take, where the machine may have other things to do.
    """

    served: Served
    names: Sequence[str]
    drain: float = DRAIN
    again: float | None = None
    patience: float = 0.0

    @property
    def deadline(self) -> float:
        """Seconds after the signal at which the last stream is given up."""
        return self.drain if self.again is None else min(self.drain, self.again)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One visitor.

    Attributes:
        name: its situation's.
        told: what it got, if it read to the end.
        entries: what the journal says of its source.
    """

    name: str
    told: Told | None
    entries: Sequence[Entry]

    @property
    def situation(self) -> Situation:
        """What its stream was at."""
        return SITUATIONS[self.name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of a launch.

    Attributes:
        signalled: when the signal was sent, in monotonic ns.
        exited: seconds from the signal to the end of the process that got it; None if it had to be killed.
        code: the process's exit code.
        left: processes of the server's that were still there when that one had ended.
        visits: the visitors.
        entries: the whole journal.
        log: what the server wrote.
    """

    case: Case
    signalled: int
    exited: float | None
    code: int | None
    left: Sequence[int]
    visits: Sequence[Visit]
    entries: Sequence[Entry]
    log: str


@dataclass
class Launch:
    """A launch that is under way. Use its methods in their order, and `close` in any case."""

    case: Case
    folder: Path
    _stack: ExitStack = field(default_factory=ExitStack)
    _visitors: list[tuple[str, str, Visitor]] = field(default_factory=list)
    _exited: int | None = None
    _signalled: int = 0

    def start(self) -> None:
        """Start the server, and bring every visitor to its place, but for what must not wait.

        Raises:
            NotReached: not all of them came so far.
            RuntimeError: the server did not start.
        """
        path = self.folder / "journal"
        path.touch()
        self._journal = Journal(path)
        self._server = self._start({"SHUTDOWN_JOURNAL": str(path), "SHUTDOWN_DRAIN": str(self.case.drain)})
        self._await_startup()
        for name in self.case.names:
            for _ in range(SITUATIONS[name].visitors):
                self._bring(name)
        for name, key, visitor in self._visitors:
            self._await(name, key, SITUATIONS[name].there)
            if not visitor.greet():
                raise NotReached(f"{self.case.served.name}: {name} not answered\n{self._server.output()}")

    def signal(self) -> None:
        """Have the visitors do their last act, and send the signal to the process that a user would.

        Raises:
            NotReached: not all of them came so far.
        """
        for _, _, visitor in self._visitors:
            visitor.leave()
        for name, key, _ in self._visitors:
            self._await(name, key, SITUATIONS[name].last)
        self._waiter = threading.Thread(target=self._wait, daemon=True)
        self._waiter.start()
        self._signalled = time.monotonic_ns()
        self._server.process.terminate()
        if self.case.again is not None:
            threading.Timer(self.case.again, self._signal_again).start()

    def finish(self) -> Report:
        """Wait for the end, and say what became of it."""
        limit = self._signalled / 1e9 + self.case.drain + GIVEN_UP_AFTER
        self._waiter.join(max(0.0, limit - time.monotonic()))
        exited = self._exited
        left = [] if exited is None else self._left()
        if exited is None or left:
            os.killpg(self._server.process.pid, signal.SIGKILL)
            self._waiter.join()
        return Report(
            case=self.case,
            signalled=self._signalled,
            exited=None if exited is None else (exited - self._signalled) / 1e9,
            code=None if exited is None else self._server.process.returncode,
            left=left,
            visits=[self._visit(name, key, visitor) for name, key, visitor in self._visitors],
            entries=self._journal.entries(),
            log=self._server.output(),
        )

    def close(self) -> None:
        """Leave nothing behind, wherever it has come to."""
        self._stack.close()

    def _start(self, env: Mapping[str, str]) -> Server:
        log = self.folder / "log"
        server = start(self.case.served.config, "tests.shutdown.app:app", log, env)
        self._stack.callback(server.stop)
        return server

    def _visit(self, name: str, key: str, visitor: Visitor) -> Visit:
        # A stream whose source never started goes by its route.
        entries = [*self._journal.of(key), *self._journal.of(f"/{name}")]
        return Visit(name=name, told=visitor.told(), entries=entries)

    def _await_startup(self) -> None:
        """Every worker is up: one that is not would not know of the signal yet."""
        wanted = self.case.served.workers if self.case.served.lifespan else 0
        self._until("started", lambda: len(self._journal.of("")) >= wanted)

    def _bring(self, name: str) -> None:
        key = uuid4().hex
        kind = SITUATIONS[name].visitor
        visitor = kind(self._server, self.case.served.http, f"/{name}?key={key}")
        visitor.come()
        self._stack.callback(visitor.close)
        self._visitors.append((name, key, visitor))

    def _await(self, name: str, key: str, what: str | None) -> None:
        if what:
            situation = SITUATIONS[name]
            self._until(f"{name} {what}", lambda: situation.reached(self._journal.of(key), what))

    def _until(self, what: str, done: Callable[[], bool]) -> None:
        limit = time.monotonic() + READY_WITHIN
        while not done():
            if time.monotonic() > limit:
                raise NotReached(f"{self.case.served.name}: not {what}\n{self._server.output()}")
            time.sleep(0.002)

    def _wait(self) -> None:
        self._server.process.wait()
        self._exited = time.monotonic_ns()

    def _left(self) -> list[int]:
        limit = time.monotonic() + HELPERS_WITHIN
        while (left := _session(self._server.process.pid)) and time.monotonic() < limit:
            time.sleep(0.02)
        return left

    def _signal_again(self) -> None:
        if self._exited is None:
            os.killpg(self._server.process.pid, signal.SIGTERM)


def _session(leader: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session, *_ = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(session) == leader and state != "Z":
            found.append(int(stat.parent.name))
    return found
