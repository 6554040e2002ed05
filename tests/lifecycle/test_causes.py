"""The first cause wins, and what the client can still be told of it."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from endwell.lifecycle import OUTCOMES, Act, Cause, Farewell, Machine, Outcome, State, Step
from tests.lifecycle.lives import ASKED, CALM, CAUSES, Engine, everything, machine_in, tick_acts_at

UNDECIDED = [State.HELD, State.OPEN, State.FLUSHING]
LET_END = [(State.FLUSHING, cause) for cause in ASKED]


@pytest.mark.parametrize(
    ("state", "cause"),
    [(state, cause) for state in UNDECIDED for cause in CAUSES if (state, cause) not in LET_END],
)
def test_a_cause_is_recorded_with_its_time_before_anybody_acts(state: State, cause: Cause) -> None:
    machine = machine_in(state)
    assert machine.feed(cause, 4.0) is Act.CANCEL
    assert (machine.cause, machine.outcome) == (cause, OUTCOMES[cause])
    assert machine.closing_since == 4.0
    assert not machine.running


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(CAUSES, 2)))
def test_a_later_cause_changes_nothing(first: Cause, second: Cause) -> None:
    machine = machine_in(State.OPEN)
    machine.feed(first, 1.0)
    before = everything(machine)
    assert machine.feed(second, 1.0) is Act.NOTHING
    assert everything(machine) == before


@pytest.mark.parametrize("cause", CAUSES)
def test_no_cause_changes_a_stream_that_is_over(cause: Cause) -> None:
    machine = machine_in(State.ENDED)
    before = everything(machine)
    assert machine.feed(cause, 99.0) is Act.NOTHING
    assert everything(machine) == before


def test_a_client_that_leaves_before_the_last_byte_is_taken_did_not_get_it_all() -> None:
    machine = machine_in(State.FLUSHING)
    machine.feed(Cause.DISCONNECT, 1.0)
    assert machine.outcome is Outcome.CLIENT_GONE


def test_a_client_that_leaves_after_the_last_byte_got_it_all() -> None:
    machine = machine_in(State.FLUSHING)
    machine.feed(Step.FLUSHED, 1.0)
    machine.feed(Cause.DISCONNECT, 1.0)
    assert machine.outcome is Outcome.COMPLETED


@pytest.mark.parametrize(("state", "cause"), LET_END)
def test_a_stream_that_is_ending_well_is_not_stopped(state: State, cause: Cause) -> None:
    """Its last bytes are on their way: a client that gets them all must not count as cut off."""
    machine = machine_in(state)
    before = everything(machine)
    assert machine.feed(cause, 1.0) is Act.NOTHING
    assert everything(machine) == before
    machine.feed(Step.FLUSHED, 2.0)
    assert machine.outcome is Outcome.COMPLETED


def test_a_drain_waits_for_the_last_bytes_no_longer_than_for_a_cleanup() -> None:
    machine = machine_in(State.FLUSHING, replace(CALM, cleanup=15.0))
    machine.leave_by(1.0, 30.0)
    machine.leave_by(9.0, 30.0)
    assert tick_acts_at(machine, 16.0) is Act.CANCEL
    assert machine.outcome is Outcome.SLOW_CLIENT


# -- the farewell --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.HELD, State.OPEN, State.FLUSHING])
def test_nothing_is_said_while_the_outcome_is_open(state: State) -> None:
    assert machine_in(state).farewell is Farewell.NOTHING


def test_a_completed_stream_ends_its_body() -> None:
    machine = machine_in(State.FLUSHING)
    machine.feed(Step.FLUSHED, 1.0)
    assert machine.farewell is Farewell.FINISH


@pytest.mark.parametrize("state", UNDECIDED)
@pytest.mark.parametrize("cause", [Cause.DISCONNECT, Cause.SEND_FAILED, Cause.SEND_BLOCKED, Cause.SEND_SLOW])
def test_who_is_gone_or_does_not_read_is_told_nothing(state: State, cause: Cause) -> None:
    machine = machine_in(state)
    machine.feed(cause, 1.0)
    assert machine.farewell is Farewell.NOTHING


@pytest.mark.parametrize("state", [State.OPEN, State.FLUSHING])
def test_nothing_can_be_said_through_a_send_that_crashed(state: State) -> None:
    machine = machine_in(state)
    machine.feed(Cause.SEND_CRASHED, 1.0)
    assert machine.outcome is Outcome.FAILED
    assert machine.farewell is Farewell.NOTHING


TELLABLE = [
    Cause.SOURCE_RAISED,
    Cause.STOP,
    Cause.SERVER_CANCELLED,
    Cause.FIRST_CHUNK,
    Cause.BETWEEN_CHUNKS,
    Cause.TOTAL,
    Cause.DRAIN,
]


@pytest.mark.parametrize("cause", TELLABLE)
def test_before_the_status_line_an_end_is_an_http_error(cause: Cause) -> None:
    machine = machine_in(State.HELD)
    machine.feed(cause, 1.0)
    assert machine.farewell is Farewell.STATUS


@pytest.mark.parametrize(
    ("state", "cause"),
    [(state, cause) for state in UNDECIDED[1:] for cause in TELLABLE if (state, cause) not in LET_END],
)
def test_after_the_status_line_an_end_is_a_frame(state: State, cause: Cause) -> None:
    machine = machine_in(state)
    machine.feed(cause, 1.0)
    assert machine.farewell is Farewell.FRAME


def test_the_status_line_cannot_be_taken_back_even_if_no_chunk_was_given() -> None:
    machine = Machine(CALM, 0.0)
    machine.feed(Step.SOURCE_ENDED, 1.0)
    machine.feed(Cause.SERVER_CANCELLED, 1.0)
    assert machine.farewell is Farewell.FRAME


@pytest.mark.parametrize("state", State)
def test_the_farewell_stays_what_it_was(state: State) -> None:
    machine = machine_in(state)
    machine.feed(Cause.SERVER_CANCELLED, 1.0)
    farewell = machine.farewell
    for later in (Cause.DISCONNECT, Cause.SOURCE_RAISED):
        machine.feed(later, 2.0)
    machine.feed(Step.CLEANUP_DONE, 3.0)
    assert machine.farewell is farewell


def test_the_engine_of_these_tests_ends_as_it_should() -> None:
    engine = Engine(CALM)
    engine.chunk()
    engine.source_ends()
    engine.cleanup_ends()
    assert [act for _, act, _ in engine.diary] == [Act.FINISH, Act.CANCEL, Act.REPORT]
