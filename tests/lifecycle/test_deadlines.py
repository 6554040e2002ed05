"""Each deadline passes at its exact time, none early, and only while it runs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from endwell import Policy
from endwell.lifecycle import Act, Cause, Machine, Outcome, State, Step
from tests.lifecycle.lives import CALM, everything, machine_in, tick_acts_at

START = 1000.5
FAR = START + 1e6
ALIVE = [State.HELD, State.OPEN, State.FLUSHING]


def committed(policy: Policy, now: float = START) -> Machine:
    """A machine whose status line went out without a chunk."""
    machine = Machine(replace(policy, hold=0.0), now)
    assert machine.feed(Step.TICK, now) is Act.COMMIT
    return machine


def ended_by(machine: Machine) -> tuple[Outcome | None, Cause | None, float | None]:
    return machine.outcome, machine.cause, machine.closing_since


# -- the whole stream ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ALIVE)
def test_the_total_runs_from_the_start_to_the_last_byte(state: State) -> None:
    machine = machine_in(state, replace(CALM, total=60.0), since=START)
    assert tick_acts_at(machine, START + 60.0) is Act.CANCEL
    assert ended_by(machine) == (Outcome.TIMED_OUT, Cause.TOTAL, START + 60.0)


# -- the source ----------------------------------------------------------------------------------------------


def test_the_first_chunk_has_its_deadline() -> None:
    machine = Machine(replace(CALM, first_chunk=3.0), START)
    assert tick_acts_at(machine, START + 3.0) is Act.CANCEL
    assert ended_by(machine) == (Outcome.TIMED_OUT, Cause.FIRST_CHUNK, START + 3.0)


def test_the_first_chunks_deadline_outlives_the_hold() -> None:
    machine = committed(replace(CALM, first_chunk=3.0))
    assert tick_acts_at(machine, START + 3.0) is Act.CANCEL
    assert machine.cause is Cause.FIRST_CHUNK


def test_the_first_chunk_ends_its_deadline() -> None:
    machine = Machine(replace(CALM, first_chunk=3.0), START)
    machine.feed(Step.FIRST_CHUNK, START + 2.9)
    assert machine.next_deadline() is None
    assert machine.feed(Step.TICK, FAR) is Act.NOTHING


def test_between_chunks_runs_from_the_first_chunk() -> None:
    machine = Machine(replace(CALM, between_chunks=2.0), START)
    assert machine.next_deadline() is None
    machine.feed(Step.FIRST_CHUNK, START + 7.0)
    assert tick_acts_at(machine, START + 9.0) is Act.CANCEL
    assert ended_by(machine) == (Outcome.TIMED_OUT, Cause.BETWEEN_CHUNKS, START + 9.0)


def test_every_chunk_moves_it() -> None:
    machine = machine_in(State.OPEN, replace(CALM, between_chunks=2.0), since=START)
    machine.last_chunk_at = START + 1.5
    assert tick_acts_at(machine, START + 3.5) is Act.CANCEL
    assert machine.cause is Cause.BETWEEN_CHUNKS


def test_it_stands_still_while_the_client_holds_the_source_up() -> None:
    machine = machine_in(State.OPEN, replace(CALM, between_chunks=2.0), since=START)
    machine.paused = True
    assert machine.next_deadline() is None
    assert machine.feed(Step.TICK, START + 50.0) is Act.NOTHING
    machine.paused, machine.last_chunk_at = False, START + 50.0
    assert tick_acts_at(machine, START + 52.0) is Act.CANCEL


def test_a_blocked_write_alone_does_not_stop_it() -> None:
    """As long as the source is asked for chunks, it is the source that is late."""
    machine = machine_in(State.OPEN, replace(CALM, between_chunks=2.0), since=START)
    machine.blocked_since = START
    assert tick_acts_at(machine, START + 2.0) is Act.CANCEL


@pytest.mark.parametrize("policy", [replace(CALM, first_chunk=2.0), replace(CALM, between_chunks=2.0)])
def test_a_source_that_has_ended_is_not_late(policy: Policy) -> None:
    for ending_after in (State.HELD, State.OPEN):
        machine = machine_in(ending_after, policy, since=START)
        machine.feed(Step.SOURCE_ENDED, START)
        assert machine.next_deadline() is None
        assert machine.feed(Step.TICK, FAR) is Act.NOTHING


# -- the client ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ALIVE)
def test_a_blocked_write_has_its_deadline(state: State) -> None:
    machine = machine_in(state, replace(CALM, send=30.0), since=START)
    assert machine.next_deadline() is None
    machine.blocked_since = START + 4.0
    assert tick_acts_at(machine, START + 34.0) is Act.CANCEL
    assert ended_by(machine) == (Outcome.SLOW_CLIENT, Cause.SEND_BLOCKED, START + 34.0)


def test_each_write_has_a_deadline_of_its_own() -> None:
    machine = machine_in(State.OPEN, replace(CALM, send=30.0), since=START)
    machine.blocked_since = START
    machine.blocked_since = None
    assert machine.feed(Step.TICK, START + 30.0) is Act.NOTHING
    machine.blocked_since = START + 20.0
    assert tick_acts_at(machine, START + 50.0) is Act.CANCEL


# -- the status line -----------------------------------------------------------------------------------------


def test_the_status_line_goes_out_when_the_hold_is_over() -> None:
    machine = Machine(replace(CALM, hold=5.0), START)
    assert tick_acts_at(machine, START + 5.0) is Act.COMMIT
    assert machine.state is State.OPEN
    assert machine.committed
    assert machine.first_chunk_at is None
    assert machine.feed(Step.TICK, FAR) is Act.NOTHING


def test_a_hold_of_zero_sends_it_at_once() -> None:
    machine = Machine(replace(CALM, hold=0), START)
    assert machine.look_again(START) == START
    assert machine.feed(Step.TICK, START) is Act.COMMIT


def test_without_a_hold_it_waits_as_long_as_the_source() -> None:
    machine = Machine(CALM, START)
    assert machine.next_deadline() is None
    assert machine.feed(Step.TICK, FAR) is Act.NOTHING
    assert machine.state is State.HELD


def test_the_first_chunk_ends_the_hold() -> None:
    machine = machine_in(State.OPEN, replace(CALM, hold=5.0), since=START)
    assert machine.feed(Step.TICK, FAR) is Act.NOTHING


# -- the heartbeat -------------------------------------------------------------------------------------------


def test_a_heartbeat_is_due_when_nothing_was_written_for_its_interval() -> None:
    machine = machine_in(State.OPEN, replace(CALM, heartbeat=15.0), since=START)
    machine.last_write_at = START + 2.0
    assert tick_acts_at(machine, START + 17.0) is Act.HEARTBEAT
    assert machine.state is State.OPEN
    machine.last_write_at = START + 17.0
    assert tick_acts_at(machine, START + 32.0) is Act.HEARTBEAT


def test_it_beats_before_the_first_chunk_once_the_status_line_is_out() -> None:
    machine = committed(replace(CALM, heartbeat=15.0))
    assert tick_acts_at(machine, START + 15.0) is Act.HEARTBEAT


def test_no_heartbeat_before_the_status_line() -> None:
    machine = Machine(replace(CALM, heartbeat=15.0), START)
    assert machine.feed(Step.TICK, FAR) is Act.NOTHING


def test_no_heartbeat_while_a_write_is_blocked() -> None:
    machine = machine_in(State.OPEN, replace(CALM, heartbeat=15.0), since=START)
    machine.blocked_since = START + 1.0
    assert machine.feed(Step.TICK, FAR) is Act.NOTHING
    machine.blocked_since, machine.last_write_at = None, FAR
    assert tick_acts_at(machine, FAR + 15.0) is Act.HEARTBEAT


@pytest.mark.parametrize("state", [State.FLUSHING, State.ENDED])
def test_no_heartbeat_after_the_source_has_ended(state: State) -> None:
    machine = machine_in(state, replace(CALM, heartbeat=15.0), since=START)
    assert machine.feed(Step.TICK, FAR) is Act.NOTHING


def test_a_format_without_a_heartbeat_is_never_asked_for_one() -> None:
    machine = Machine(replace(CALM, heartbeat=15.0, hold=0, total=60.0), START, has_heartbeat=False)
    assert machine.feed(Step.TICK, START) is Act.COMMIT
    assert machine.look_again(START) == START + 60.0
    assert tick_acts_at(machine, START + 60.0) is Act.CANCEL


def test_a_heartbeat_that_nobody_writes_is_not_asked_for_again_at_once() -> None:
    """Otherwise no later deadline would ever be seen."""
    machine = machine_in(State.OPEN, replace(CALM, heartbeat=15.0, between_chunks=20.0), since=START)
    assert machine.feed(Step.TICK, START + 15.0) is Act.HEARTBEAT
    assert machine.feed(Step.TICK, START + 15.0) is Act.NOTHING
    assert machine.feed(Step.TICK, START + 20.0) is Act.CANCEL


def test_the_status_line_is_a_write_like_any_other() -> None:
    machine = Machine(replace(CALM, heartbeat=15.0, hold=20.0), START)
    machine.feed(Step.TICK, START + 20.0)
    assert machine.next_deadline() == START + 35.0


def test_the_first_chunk_is_a_write_like_any_other() -> None:
    machine = Machine(replace(CALM, heartbeat=15.0), START)
    machine.feed(Step.FIRST_CHUNK, START + 20.0)
    assert machine.next_deadline() == START + 35.0


# -- the cleanup ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ALIVE)
def test_a_cleanup_that_is_overdue_is_let_go(state: State) -> None:
    machine = machine_in(state, replace(CALM, cleanup=15.0), since=START)
    machine.feed(Cause.DISCONNECT, START + 1.0)
    assert tick_acts_at(machine, START + 16.0) is Act.ABANDON
    assert machine.state is State.ENDED


def test_what_it_ends_in_later_is_not_reported_again() -> None:
    machine = machine_in(State.CLOSING, since=START)
    assert machine.feed(Step.TICK, FAR) is Act.ABANDON
    before = everything(machine)
    assert machine.feed(Step.CLEANUP_DONE, FAR + 1.0) is Act.NOTHING
    assert machine.feed(Step.TICK, FAR + 2.0) is Act.NOTHING
    assert everything(machine) == before


def test_a_cleanup_in_time_is_reported() -> None:
    machine = machine_in(State.CLOSING, since=START)
    assert machine.feed(Step.CLEANUP_DONE, START + CALM.cleanup) is Act.REPORT
    assert machine.next_deadline() is None


def test_while_a_stream_is_closing_no_other_deadline_runs() -> None:
    policy = Policy(heartbeat=1, between_chunks=2, first_chunk=2, send=2, total=2, hold=2, cleanup=10)
    machine = machine_in(State.CLOSING, policy, since=START)
    machine.blocked_since = START
    assert machine.next_deadline() == START + 10


# -- several at once -----------------------------------------------------------------------------------------

ALL = Policy(heartbeat=5, hold=5, first_chunk=5, send=5, total=5, cleanup=1)
NO_CLIENT: dict[str, Any] = {"total": None, "send": None}


@pytest.mark.parametrize(
    ("state", "changes", "winner"),
    [
        (State.OPEN, {}, Cause.TOTAL),
        (State.OPEN, {"total": None}, Cause.SEND_BLOCKED),
        (State.HELD, NO_CLIENT, Cause.FIRST_CHUNK),
        (State.OPEN, {**NO_CLIENT, "heartbeat": 4, "between_chunks": 5}, Cause.BETWEEN_CHUNKS),
    ],
)
def test_of_deadlines_at_the_same_time_the_wider_wins(
    state: State, changes: dict[str, Any], winner: Cause
) -> None:
    machine = machine_in(state, replace(ALL, **changes), since=START)
    machine.blocked_since = START
    assert machine.feed(Step.TICK, START + 5) is Act.CANCEL
    assert machine.cause is winner


def test_an_end_comes_before_a_heartbeat_and_before_the_status_line() -> None:
    """So that a first chunk's deadline as long as the hold is still a real HTTP error."""
    held = Machine(Policy(heartbeat=None, hold=5, first_chunk=5), START)
    assert held.feed(Step.TICK, START + 5) is Act.CANCEL
    assert not held.committed
    opened = machine_in(State.OPEN, Policy(heartbeat=5, total=5), since=START)
    assert opened.feed(Step.TICK, START + 5) is Act.CANCEL


def test_a_late_tick_acts_on_what_was_due_first_and_the_next_one_on_the_rest() -> None:
    machine = Machine(Policy(heartbeat=None, hold=5, first_chunk=8, total=10), START)
    assert machine.feed(Step.TICK, FAR) is Act.COMMIT
    assert machine.look_again(FAR) == START + 8
    assert machine.feed(Step.TICK, FAR) is Act.CANCEL
    assert ended_by(machine) == (Outcome.TIMED_OUT, Cause.FIRST_CHUNK, FAR)


# -- when to look again --------------------------------------------------------------------------------------


def test_nobody_needs_to_look_again_when_nothing_can_pass() -> None:
    assert Machine(CALM, START).look_again(START) is None
    assert machine_in(State.ENDED).look_again(START) is None


def test_the_next_deadline_alone_counts_when_no_stamp_can_start_one() -> None:
    machine = Machine(replace(CALM, total=60.0, first_chunk=50.0, hold=40.0), START)
    assert machine.look_again(START + 30.0) == START + 40.0


@pytest.mark.parametrize(
    "policy",
    [
        replace(CALM, heartbeat=7.0),
        replace(CALM, between_chunks=7.0),
        replace(CALM, send=28.0),
        Policy(heartbeat=7.0, between_chunks=8.0, send=28.0, hold=None),
        Policy(heartbeat=7.0, between_chunks=8.0, send=28.0, total=100.0, hold=99.0),
    ],
)
def test_a_deadline_that_a_stamp_may_start_is_looked_for_in_time(policy: Policy) -> None:
    assert Machine(policy, START).look_again(START + 1.0) == START + 8.0


def test_a_deadline_that_is_nearer_than_any_to_come_is_not_overlooked() -> None:
    machine = Machine(Policy(total=10.0, send=None), START)
    assert machine.look_again(START) == START + 5.0  # the hold
    machine.feed(Step.FIRST_CHUNK, START + 1.0)
    assert machine.look_again(START + 1.0) == START + 10.0


def test_once_the_outcome_stands_only_the_cleanup_is_looked_for() -> None:
    machine = machine_in(State.OPEN, Policy(heartbeat=1.0, cleanup=15.0), since=START)
    machine.feed(Cause.STOP, START)
    assert machine.look_again(START + 3.0) == START + 15.0


def test_a_deadline_that_has_passed_is_looked_for_at_once() -> None:
    machine = Machine(replace(CALM, total=1.0), START)
    assert machine.look_again(FAR) == START + 1.0


def test_a_tick_at_no_time_at_all_changes_nothing() -> None:
    machine = Machine(Policy(), START)
    before = everything(machine)
    assert machine.feed(Step.TICK, math.nan) is Act.NOTHING
    assert everything(machine) == before
