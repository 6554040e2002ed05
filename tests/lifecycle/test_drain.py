"""A process that goes away: when each stream is released, and by when all are over."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell import Cause, Outcome, Policy
from endwell.lifecycle import LAST, Act, DrainPlan, State
from tests.lifecycle.lives import CALM, machine_in, tick_acts_at

ROOMY = Policy(drain=20.0, cleanup=15.0)
RUNNING = [State.HELD, State.OPEN, State.UNATTENDED]


# -- the plan ------------------------------------------------------------------------------------------------


def plan_for(streams: int, policy: Policy = ROOMY) -> list[tuple[float, float]]:
    plan = DrainPlan(policy, 100.0, streams)
    return [plan.next(policy, says_goodbye=False) for _ in range(streams)]


def test_few_streams_are_released_at_once() -> None:
    assert set(plan_for(100)) == {(100.0, 120.0)}


def test_many_are_released_in_batches() -> None:
    releases = [release for release, _ in plan_for(1000)]
    assert releases == sorted(releases)
    assert [releases.count(each) for each in sorted(set(releases))] == [100] * 10
    assert releases[-1] == pytest.approx(100.45)


def test_very_many_have_half_of_what_the_cleanups_leave() -> None:
    releases = [release for release, _ in plan_for(50_000)]
    assert releases[-1] <= 100 + (5 - LAST) / 2
    assert releases[-1] == pytest.approx(100 + (5 - LAST) / 2, abs=0.01)


def test_a_source_that_says_goodbye_has_all_that_its_cleanup_leaves() -> None:
    plan = DrainPlan(ROOMY, 100.0, 1)
    assert plan.next(ROOMY, says_goodbye=True) == (105.0 - LAST, 120.0)


def test_a_stream_can_have_less_time_than_the_application_gives_and_not_more() -> None:
    plan = DrainPlan(ROOMY, 100.0, 2)
    assert plan.next(replace(ROOMY, drain=8.0, cleanup=6.0), says_goodbye=True) == (102.0 - LAST, 108.0)
    assert plan.next(replace(ROOMY, drain=90.0), says_goodbye=True) == (105.0 - LAST, 120.0)


@given(st.integers(0, 3000), st.booleans())
def test_a_drain_of_no_time_releases_everything_at_once(streams: int, says_goodbye: bool) -> None:
    policy = Policy(drain=0)
    plan = DrainPlan(policy, 100.0, streams)
    for _ in range(streams):
        assert plan.next(policy, says_goodbye=says_goodbye) == (100.0, 100.0 + LAST)


def _policy(numbers: tuple[float, float]) -> Policy:
    drain, share = numbers
    return Policy(drain=drain, cleanup=drain * share)


policies = st.tuples(st.floats(0.1, 100), st.floats(0.01, 0.99)).map(_policy)


@given(st.integers(1, 2000), policies, policies)
def test_nobody_is_released_late_or_may_stay_longer(streams: int, everybody: Policy, stream: Policy) -> None:
    plan = DrainPlan(everybody, 100.0, streams)
    for number in range(streams):
        release_at, over_by = plan.next(stream, says_goodbye=number % 2 == 0)
        assert 100.0 <= release_at <= over_by <= plan.over_by


# -- what a machine makes of it ------------------------------------------------------------------------------


@pytest.mark.parametrize("state", RUNNING)
def test_a_stream_that_runs_is_drained_when_it_is_released(state: State) -> None:
    machine = machine_in(state)
    machine.leave_by(3.0, 30.0)
    assert tick_acts_at(machine, 3.0) is Act.CANCEL
    assert machine.outcome is (Outcome.CLIENT_GONE if state is State.UNATTENDED else Outcome.DRAINED)


def test_its_cleanup_is_given_up_when_all_must_be_over() -> None:
    machine = machine_in(State.OPEN, replace(CALM, cleanup=15.0))
    machine.leave_by(3.0, 10.0)
    assert tick_acts_at(machine, 3.0) is Act.CANCEL
    assert tick_acts_at(machine, 10.0) is Act.ABANDON


def test_a_cleanup_that_would_be_given_up_earlier_is() -> None:
    machine = machine_in(State.OPEN, replace(CALM, cleanup=2.0))
    machine.leave_by(3.0, 10.0)
    assert tick_acts_at(machine, 3.0) is Act.CANCEL
    assert tick_acts_at(machine, 5.0) is Act.ABANDON


def test_a_cleanup_that_runs_already_has_until_then() -> None:
    machine = machine_in(State.CLOSING, replace(CALM, cleanup=15.0))
    machine.leave_by(3.0, 10.0)
    assert tick_acts_at(machine, 10.0) is Act.ABANDON


def test_last_bytes_have_as_long_as_a_cleanup_but_no_longer_than_there_is() -> None:
    machine = machine_in(State.FLUSHING, replace(CALM, cleanup=15.0))
    machine.leave_by(3.0, 10.0)
    assert tick_acts_at(machine, 10.0) is Act.CANCEL
    assert machine.cause is Cause.SEND_BLOCKED


def test_it_can_only_become_earlier() -> None:
    machine = machine_in(State.OPEN)
    machine.leave_by(3.0, 10.0)
    machine.leave_by(5.0, 9.0)
    assert tick_acts_at(machine, 3.0) is Act.CANCEL
    machine.leave_by(1.0, 4.0)
    assert tick_acts_at(machine, 4.0) is Act.ABANDON


def test_what_comes_before_the_release_wins() -> None:
    machine = machine_in(State.OPEN)
    machine.leave_by(3.0, 10.0)
    machine.feed(Cause.DISCONNECT, 2.0)
    assert machine.outcome is Outcome.CLIENT_GONE


def test_a_stream_that_is_over_stays_so() -> None:
    machine = machine_in(State.ENDED)
    machine.leave_by(3.0, 10.0)
    assert machine.next_deadline() is None
