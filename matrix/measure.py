"""One cell: an act, played some times on one server, and what came of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

from matrix.acts.base import Act
from matrix.scene import Scene, Stage, Unmeasured
from tests.servers.client import Closed

LOOK_EVERY = 0.001
LOOK_SELDOM = 0.02
"""Seconds between two looks; seldom, where the answer takes seconds and many wait beside each other."""
ENOUGH = 4.0
"""Seconds after which an act is not repeated any more: on this server it does not take milliseconds."""


Part: TypeAlias = tuple[Stage, Act]
"""An act, and the server it is played on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One repetition.

    Attributes:
        finished: seconds from the act until the source's `finally` was over; None: not within the bound.
        freed: seconds until the server's socket was gone, likewise.
        ending: outcome and cause that the application was told.
        wrong: why something that had to survive did not.
    """

    finished: float | None
    freed: float | None
    ending: str | None
    wrong: str | None = None

    @property
    def outcome(self) -> str | None:
        """The outcome alone."""
        return self.ending and self.ending.partition(":")[0]

    def complete(self, act: Act) -> bool:
        """Whether everything that had to happen did."""
        if act.kept or self.wrong is not None:
            return self.wrong is None
        return self.finished is not None and (act.keeps_socket or self.freed is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """All repetitions.

    Attributes:
        not_run: why there are none.
        failed: why there are no more: an act could not be done that should have been.
    """

    samples: Sequence[Sample] = ()
    not_run: str | None = None
    failed: str | None = None

    def wrong(self, act: Act) -> str | None:
        """What is not as it must be, if anything."""
        bad = [sample for sample in self.samples if not sample.complete(act)]
        return f"{len(bad)} of {len(self.samples)}, {bad[0]}" if bad else self.failed


def one_by_one(stage: Stage, act: Act, repetitions: int) -> Cell:
    """Play an act of milliseconds; not again once something did not happen, or when it takes too long."""
    samples: list[Sample] = []
    limit = time.monotonic() + ENOUGH
    try:
        while len(samples) < repetitions and time.monotonic() < limit:
            samples.append(_play(stage, act))
            if not samples[-1].complete(act):
                break
    except Unmeasured as error:
        return Cell(samples=samples, failed=str(error))
    return Cell(samples=samples)


def side_by_side(parts: Sequence[Part], repetitions: int) -> list[Cell]:
    """Play acts that take seconds, all of them at once."""
    with ThreadPoolExecutor(max_workers=max(1, len(parts) * repetitions)) as pool:
        futures = [[pool.submit(_play, stage, act) for _ in range(repetitions)] for stage, act in parts]
        return [_collect([future.result for future in row]) for row in futures]


def reason_against(stage: Stage, act: Act) -> str | None:
    """Why an act cannot be played on a server."""
    if stage.served.http not in act.http:
        return act.why_not
    return stage.no_far if act.needs_far else None


def _collect(results: Sequence[Callable[[], Sample]]) -> Cell:
    try:
        return Cell(samples=[result() for result in results])
    except Unmeasured as error:
        return Cell(failed=str(error))


def _play(stage: Stage, act: Act) -> Sample:
    scene = Scene(stage)
    with scene.stack:
        try:
            at = act.perform(scene)
        except (Closed, OSError) as error:
            raise Unmeasured(f"{type(error).__name__}: {error}") from error
        return _watch(scene, act, at)


@dataclass
class _Watch:
    """What has been seen of one repetition since the act, at `at` (monotonic ns)."""

    scene: Scene
    act: Act
    at: int
    finished: float | None = None
    freed: float | None = None
    closed: str | None = None

    def look(self) -> None:
        """Look at the source and at the socket table; have the client go on."""
        done = self.scene.record.done
        if self.finished is None and done is not None:
            self.finished = (done - self.at) / 1e9
        if self.freed is None and self.scene.server_socket() is None:
            self.freed = (time.monotonic_ns() - self.at) / 1e9
        if self.closed is None:
            self._go_on()

    def _go_on(self) -> None:
        try:
            self.scene.meanwhile()
        except Closed as error:
            self.closed = str(error)

    def over(self) -> bool:
        """Whether nothing more is to be learnt."""
        if time.monotonic_ns() > self.at + self.act.bound * 1e9:
            return True
        if self.act.kept:
            return self._broken() is not None
        return self.finished is not None and (self.freed is not None or self.act.keeps_socket)

    def sample(self) -> Sample:
        """All that was seen."""
        must_survive = self.act.kept or self.act.keeps_socket
        wrong = (self._broken() or self.scene.complaint()) if must_survive else None
        ending = self._ending()
        return Sample(finished=self.finished, freed=self.freed, ending=ending, wrong=wrong)

    def _broken(self) -> str | None:
        if self.freed is not None:
            return f"socket gone after {self.freed:.1f} s"
        if self.act.kept and self.finished is not None:
            return f"source ended after {self.finished:.1f} s"
        return self.closed

    def _ending(self) -> str | None:
        with contextlib.suppress(Unmeasured):  # the record of an ending is made a moment after the cleanup
            self.scene.wait("told", lambda record: record.ending is not None, 0.05)
        return self.scene.record.ending


def _watch(scene: Scene, act: Act, at: int) -> Sample:
    watch = _Watch(scene, act, at)
    watch.look()
    while not watch.over():
        time.sleep(LOOK_SELDOM if act.waits else LOOK_EVERY)
        watch.look()
    return watch.sample()
