"""Machines in every state, and an engine without a source, a client or an event loop."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from endwell import Finish, Policy
from endwell.lifecycle import OUTCOMES, Act, Cause, Machine, Outcome, State, Step

CALM = Policy(heartbeat=None, hold=None, send=None)
"""No deadline runs but that of the cleanup."""

REJECTIONS = [cause for cause in Cause if OUTCOMES[cause] is Outcome.REJECTED]
CAUSES = [cause for cause in Cause if cause not in (Cause.SOURCE_ENDED, *REJECTIONS)]
"""The causes that are fed. A source's own end is a step; it becomes the cause when all is flushed."""

ASKED = [Cause.STOP, Cause.DRAIN]
STEPS = [step for step in Step if step not in (Step.END, Step.LEFT, Step.ASKED)]
"""The steps that are fed. The others stand for causes."""

_WAY: dict[State, tuple[Step | Cause, ...]] = {
    State.HELD: (),
    State.OPEN: (Step.FIRST_CHUNK,),
    State.FLUSHING: (Step.FIRST_CHUNK, Step.SOURCE_ENDED),
    State.UNATTENDED: (Step.FIRST_CHUNK, Cause.DISCONNECT),
    State.CLOSING: (Step.FIRST_CHUNK, Cause.STOP),
    State.ENDED: (Step.FIRST_CHUNK, Cause.STOP, Step.CLEANUP_DONE),
}


def machine_in(state: State, policy: Policy = CALM, *, since: float = 0.0) -> Machine:
    """A machine that started, and came into `state`, at `since`."""
    if state is State.UNATTENDED:
        policy = replace(policy, on_leave=Finish(1e9))
    machine = Machine(policy, since)
    for step in _WAY[state]:
        machine.feed(step, since)
    assert machine.state is state
    return machine


def everything(machine: Machine) -> dict[str, Any]:
    """All that a machine knows, to see whether something has changed."""
    return {name: getattr(machine, name) for name in Machine.__slots__}


def tick_acts_at(machine: Machine, when: float) -> Act:
    """Tick just before `when`, which must change nothing, then at `when`; return what is to be done."""
    before = everything(machine)
    assert machine.next_deadline() == when
    assert machine.feed(Step.TICK, math.nextafter(when, -math.inf)) is Act.NOTHING
    assert everything(machine) == before
    return machine.feed(Step.TICK, when)


class Engine:
    """Does what a machine says, and looks at the clock only when it was told to.

    Its client either takes every write at once or, while it does not read, none. Like the real engine it
    writes stamps without feeding them. Unlike it, it keeps a diary: what it had to do, and when.

    Args:
        policy: The stream's durations.
        mute: Whether its format has no heartbeat.
    """

    def __init__(self, policy: Policy, *, mute: bool = False) -> None:
        self.now = 0.0
        self.machine = Machine(policy, self.now, has_heartbeat=not mute)
        self.diary: list[tuple[float, Act, Cause | None]] = []
        self._reading = True
        self._timer = self.look()

    def look(self) -> float | None:
        return self.machine.look_again(self.now)

    # -- what happens ------------------------------------------------------------------------------------

    def run_to(self, then: float) -> None:
        """Let time pass, and everything happen that is due by `then`."""
        while self._timer is not None and self._timer <= then:
            self.now = max(self.now, self._timer)
            acted = self._feed(Step.TICK) is not Act.NOTHING
            self._timer = self.look()
            assert acted or self._timer is None or self._timer > self.now, "told to look at once, for nothing"
        self.now = then

    def end(self, cause: Cause) -> None:
        self._feed(cause)

    def chunk(self) -> None:
        """The source gives a chunk, if it still runs and is asked for one."""
        machine = self.machine
        if not self._source_runs():
            return
        if machine.first_chunk_at is None:
            self._feed(Step.FIRST_CHUNK)
        else:
            machine.last_chunk_at = self.now
        if machine.running:
            self._write()
            machine.paused = not self._reading

    def source_ends(self) -> None:
        if self._source_runs():
            self._feed(Step.SOURCE_ENDED)

    def _source_runs(self) -> bool:
        machine = self.machine
        return (machine.running or machine.state is State.UNATTENDED) and not machine.paused

    def client_stops_reading(self) -> None:
        self._reading = False

    def client_reads_again(self) -> None:
        machine = self.machine
        self._reading = True
        if machine.blocked_since is None:
            return
        machine.blocked_since = None
        machine.last_write_at = self.now
        if machine.paused and machine.running:
            machine.paused = False
            machine.last_chunk_at = self.now
        if machine.state is State.FLUSHING:
            self._feed(Step.FLUSHED)

    def cleanup_ends(self) -> None:
        if self.machine.state is State.CLOSING:
            self._feed(Step.CLEANUP_DONE)

    def process_goes(self) -> None:
        self._leave_by(self.now + 2, self.now + 9)

    def process_goes_now(self) -> None:
        self._leave_by(self.now, self.now)

    def _leave_by(self, release_at: float, over_by: float) -> None:
        self.machine.leave_by(release_at, over_by)
        if release_at <= self.now:
            self._feed(Cause.DRAIN)
        self._timer = self.look()

    # -- what it does ------------------------------------------------------------------------------------

    def _feed(self, step: Step | Cause) -> Act:
        act = self.machine.feed(step, self.now)
        if act is Act.NOTHING:
            return act
        self.diary.append((self.now, act, self.machine.cause))
        assert self.diary.count(self.diary[-1]) == 1, f"told to {act.value} again, in the same moment"
        if act in (Act.HEARTBEAT, Act.COMMIT):
            self._write()
        elif act is Act.FINISH:
            self._finish()
        elif act in (Act.CANCEL, Act.DETACH):
            self._timer = self.look()
            if act is Act.DETACH and self.machine.paused:  # nobody holds the source up any more
                self.machine.paused = False
                self.machine.last_chunk_at = self.now
        return act

    def _write(self) -> None:
        machine = self.machine
        if self._reading:
            machine.last_write_at = self.now
        elif machine.blocked_since is None:
            machine.blocked_since = self.now

    def _finish(self) -> None:
        self._write()
        if self._reading:
            self._feed(Step.FLUSHED)


class WatchfulEngine(Engine):
    """Looks at the clock every second, whatever it was told."""

    def look(self) -> float | None:
        due = self.machine.next_deadline()
        if due is not None and due <= self.now:
            return self.now
        return math.floor(self.now) + 1.0
