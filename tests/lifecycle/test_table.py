"""Each step in each state: it leads where the table says, or is refused and changes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from endwell.errors import EndwellError, IllegalStep
from endwell.lifecycle import OUTCOMES, TRANSITIONS, Act, Cause, Machine, Outcome, State, Step
from tests.lifecycle.lives import ASKED, CALM, CAUSES, REJECTIONS, STEPS, everything, machine_in

LEGAL = [(state, step) for state in State for step in STEPS if step in TRANSITIONS[state]]
ILLEGAL = [(state, step) for state in State for step in STEPS if step not in TRANSITIONS[state]]


def test_the_table_knows_every_state_and_leads_to_states_only() -> None:
    assert set(TRANSITIONS) == set(State)
    for steps in TRANSITIONS.values():
        assert set(steps) <= set(Step)
        assert set(steps.values()) <= set(State)


@pytest.mark.parametrize(("state", "step"), LEGAL)
def test_a_step_in_the_table_leads_where_it_says(state: State, step: Step) -> None:
    machine = machine_in(state)
    machine.feed(step, 1.0)
    assert machine.state is TRANSITIONS[state][step]


@pytest.mark.parametrize(("state", "step"), ILLEGAL)
def test_any_other_step_is_refused_and_changes_nothing(state: State, step: Step) -> None:
    machine = machine_in(state)
    before = everything(machine)
    with pytest.raises(IllegalStep, match=f"{step.value!r} cannot happen to a stream that is {state.value}"):
        machine.feed(step, 1.0)
    assert everything(machine) == before


def test_an_illegal_step_is_a_bug_of_the_engine_and_no_value_error() -> None:
    assert issubclass(IllegalStep, EndwellError)
    assert issubclass(IllegalStep, RuntimeError)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("cause", CAUSES)
def test_a_cause_leads_where_the_table_says(state: State, cause: Cause) -> None:
    machine = machine_in(state)
    machine.feed(cause, 1.0)
    assert machine.state is TRANSITIONS[state][kind_of(cause, goes_on=state is State.UNATTENDED)]


@pytest.mark.parametrize("state", [State.HELD, State.OPEN])
@pytest.mark.parametrize("cause", CAUSES)
def test_where_the_policy_lets_the_source_go_on_a_client_that_leaves_leads_there(
    state: State, cause: Cause
) -> None:
    machine = machine_in(state, replace(CALM, on_leave="finish"))
    machine.feed(cause, 1.0)
    assert machine.state is TRANSITIONS[state][kind_of(cause, goes_on=True)]


def kind_of(cause: Cause, *, goes_on: bool) -> Step:
    if cause in ASKED:
        return Step.ASKED
    return Step.LEFT if goes_on and OUTCOMES[cause] is Outcome.CLIENT_GONE else Step.END


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("step", [Step.END, Step.LEFT, Step.ASKED, Cause.SOURCE_ENDED])
def test_an_end_without_a_cause_is_refused_and_so_is_an_outcome_without_a_flush(
    step: Step | Cause, state: State
) -> None:
    machine = machine_in(state)
    before = everything(machine)
    with pytest.raises(IllegalStep, match=f"{step.value!r} is not for the engine to feed"):
        machine.feed(step, 1.0)
    assert everything(machine) == before


def test_nothing_leads_back() -> None:
    order = list(State)
    for state, steps in TRANSITIONS.items():
        assert all(order.index(following) >= order.index(state) for following in steps.values())


@pytest.mark.parametrize("cause", Cause)
def test_each_cause_has_one_outcome(cause: Cause) -> None:
    assert OUTCOMES[cause] in Outcome


def test_every_outcome_has_a_cause() -> None:
    assert set(OUTCOMES.values()) == set(Outcome)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("cause", REJECTIONS)
def test_a_stream_that_is_alive_cannot_be_rejected(state: State, cause: Cause) -> None:
    """Such a stream was never admitted, so no machine ever ran for it."""
    machine = machine_in(state)
    before = everything(machine)
    with pytest.raises(IllegalStep):
        machine.feed(cause, 1.0)
    assert everything(machine) == before


# -- the regular way -----------------------------------------------------------------------------------------


def test_a_stream_that_runs_to_its_end() -> None:
    machine = Machine(CALM, 10.0)
    assert machine.running
    assert machine.feed(Step.FIRST_CHUNK, 11.0) is Act.NOTHING
    assert (machine.first_chunk_at, machine.last_chunk_at) == (11.0, 11.0)
    assert machine.running
    assert machine.feed(Step.SOURCE_ENDED, 12.0) is Act.FINISH
    assert not machine.running
    assert machine.outcome is None
    assert machine.feed(Step.FLUSHED, 13.0) is Act.CANCEL
    assert (machine.outcome, machine.cause) == (Outcome.COMPLETED, Cause.SOURCE_ENDED)
    assert machine.closing_since == 13.0
    assert machine.feed(Step.CLEANUP_DONE, 14.0) is Act.REPORT
    assert machine.state is State.ENDED


def test_a_source_without_a_chunk_completes_all_the_same() -> None:
    machine = Machine(CALM, 0.0)
    assert machine.feed(Step.SOURCE_ENDED, 1.0) is Act.FINISH
    assert machine.committed
    assert machine.first_chunk_at is None
    machine.feed(Step.FLUSHED, 2.0)
    assert machine.outcome is Outcome.COMPLETED


def test_only_the_first_chunk_is_the_first_chunk() -> None:
    machine = machine_in(State.OPEN, since=1.0)
    machine.feed(Step.FIRST_CHUNK, 2.0)
    assert machine.first_chunk_at == 1.0


def test_the_first_chunk_may_come_after_the_status_line() -> None:
    machine = Machine(CALM, 0.0)
    machine.state = State.OPEN
    machine.feed(Step.FIRST_CHUNK, 3.0)
    assert machine.first_chunk_at == 3.0


def test_the_source_may_end_while_the_stream_is_closing() -> None:
    machine = machine_in(State.CLOSING)
    assert machine.feed(Step.SOURCE_ENDED, 1.0) is Act.NOTHING
    assert machine.outcome is Outcome.STOPPED
