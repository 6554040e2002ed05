"""A source that goes on when its client has left."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from endwell import Finish, Grace, Policy
from endwell.lifecycle import Act, Cause, Farewell, Machine, Outcome, State, Step
from tests.lifecycle.lives import CALM, CAUSES, everything, tick_acts_at

START = 1000.5
GONE = [Cause.DISCONNECT, Cause.SEND_FAILED]


def left_alone(policy: Policy, cause: Cause = Cause.DISCONNECT, *steps: Step) -> Machine:
    machine = Machine(policy, START)
    for step in steps or (Step.FIRST_CHUNK,):
        machine.feed(step, START)
    assert machine.feed(cause, START + 1) is Act.DETACH
    return machine


@pytest.mark.parametrize("cause", GONE)
@pytest.mark.parametrize("on_leave", ["finish", Finish(60), Grace(5)])
def test_that_the_client_left_is_the_outcome_and_the_source_goes_on(cause: Cause, on_leave: Any) -> None:
    machine = left_alone(replace(CALM, on_leave=on_leave), cause)
    assert (machine.state, machine.outcome) == (State.UNATTENDED, Outcome.CLIENT_GONE)
    assert (machine.cause, machine.decided_at, machine.closing_since) == (cause, START + 1, None)
    assert machine.farewell is Farewell.NOTHING
    assert not machine.running


def test_it_may_run_to_its_end() -> None:
    machine = left_alone(replace(CALM, on_leave="finish"))
    assert machine.feed(Step.SOURCE_ENDED, START + 30) is Act.CANCEL
    assert (machine.state, machine.closing_since, machine.decided_at) == (
        State.CLOSING,
        START + 30,
        START + 1,
    )
    assert machine.feed(Step.CLEANUP_DONE, START + 31) is Act.REPORT
    assert machine.cause is Cause.DISCONNECT


def test_its_first_chunk_may_come_when_nobody_is_there_to_see_it() -> None:
    machine = Machine(replace(CALM, on_leave="finish"), START)
    machine.feed(Cause.DISCONNECT, START + 1)
    assert machine.feed(Step.FIRST_CHUNK, START + 2) is Act.NOTHING
    assert machine.state is State.UNATTENDED
    assert machine.first_chunk_at == START + 2


@pytest.mark.parametrize(("on_leave", "seconds"), [(Grace(5), 5), (Finish(60), 60), ("finish", 600)])
def test_its_time_is_bounded(on_leave: Any, seconds: float) -> None:
    machine = left_alone(replace(CALM, on_leave=on_leave))
    assert tick_acts_at(machine, START + 1 + seconds) is Act.CANCEL
    assert (machine.state, machine.closing_since) == (State.CLOSING, START + 1 + seconds)
    assert machine.cause is Cause.DISCONNECT


@pytest.mark.parametrize(
    ("deadlines", "when"),
    [({"total": 20.0}, 20.0), ({"between_chunks": 7.0}, 7.0)],
)
def test_the_sources_own_deadlines_run_on(deadlines: dict[str, float], when: float) -> None:
    machine = left_alone(replace(CALM, on_leave=Finish(60), **deadlines))  # type: ignore[arg-type]
    assert tick_acts_at(machine, START + when) is Act.CANCEL
    assert machine.cause is Cause.DISCONNECT


def test_a_first_chunk_is_waited_for_no_longer_than_with_a_client() -> None:
    machine = Machine(replace(CALM, on_leave=Finish(60), first_chunk=9.0), START)
    machine.feed(Cause.DISCONNECT, START + 1)
    assert tick_acts_at(machine, START + 9) is Act.CANCEL


def test_nothing_of_the_clients_is_looked_for_any_more() -> None:
    policy = Policy(heartbeat=1, hold=1, send=1, min_rate=(1, 1), on_leave=Finish(600))
    machine = left_alone(policy)
    machine.blocked_since = machine.behind_since = START
    machine.saw(0, START)
    assert machine.next_deadline() == START + 601


@pytest.mark.parametrize("cause", [cause for cause in CAUSES if cause not in GONE])
def test_whatever_ends_it_ends_it_once_and_is_no_cause(cause: Cause) -> None:
    machine = left_alone(replace(CALM, on_leave="finish"))
    assert machine.feed(cause, START + 3) is Act.CANCEL
    assert (machine.cause, machine.outcome) == (Cause.DISCONNECT, Outcome.CLIENT_GONE)
    assert machine.feed(cause, START + 4) is Act.NOTHING


@pytest.mark.parametrize("cause", GONE)
def test_that_the_client_left_can_be_said_again(cause: Cause) -> None:
    machine = left_alone(replace(CALM, on_leave="finish"))
    before = everything(machine)
    assert machine.feed(cause, START + 3) is Act.NOTHING
    assert everything(machine) == before


@pytest.mark.parametrize("cause", GONE)
def test_a_source_that_has_ended_does_not_go_on(cause: Cause) -> None:
    machine = Machine(replace(CALM, on_leave="finish"), START)
    machine.feed(Step.SOURCE_ENDED, START)
    assert machine.feed(cause, START + 1) is Act.CANCEL
    assert machine.state is State.CLOSING


def test_the_engine_may_not_let_it_go_on() -> None:
    machine = Machine(replace(CALM, on_leave="finish"), START)
    machine.on_leave = "cancel"
    assert machine.feed(Cause.DISCONNECT, START) is Act.CANCEL


@pytest.mark.parametrize("cause", [Cause.SEND_BLOCKED, Cause.SEND_SLOW, Cause.SEND_CRASHED, Cause.STOP])
def test_only_a_client_that_leaves_leaves_its_source_alone(cause: Cause) -> None:
    machine = Machine(replace(CALM, on_leave="finish"), START)
    assert machine.feed(cause, START) is Act.CANCEL
