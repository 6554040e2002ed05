"""A client that is behind: one that is slow is kept, one that takes nothing, or too little, is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from endwell import Policy
from endwell.lifecycle import Act, Cause, Machine, Outcome, State, Step
from tests.lifecycle.lives import CALM, machine_in, tick_acts_at

START = 1000.5


def behind(policy: Policy) -> Machine:
    """A machine whose client is being written to since the start."""
    machine = machine_in(State.OPEN, policy, since=START)
    machine.blocked_since = machine.behind_since = START
    return machine


# -- no progress ---------------------------------------------------------------------------------------------


def test_one_that_takes_something_in_every_time_is_kept() -> None:
    machine = behind(replace(CALM, send=30.0))
    for number in range(100):
        machine.saw(number, START + 29.0 * number)
        assert machine.next_deadline() == START + 29.0 * number + 30.0


def test_the_time_runs_from_the_last_look_at_which_it_had_taken_something() -> None:
    machine = behind(replace(CALM, send=30.0))
    machine.saw(5000, START + 10)
    machine.saw(5001, START + 20)
    machine.saw(5001, START + 30)
    machine.saw(5001, START + 40)
    assert tick_acts_at(machine, START + 50) is Act.CANCEL
    assert (machine.outcome, machine.cause) == (Outcome.SLOW_CLIENT, Cause.SEND_BLOCKED)


def test_what_it_took_before_the_write_that_is_blocked_is_no_progress_of_that() -> None:
    machine = behind(replace(CALM, send=30.0))
    machine.saw(1000, START + 1)
    machine.blocked_since = START + 5
    machine.saw(9000, START + 15)  # taken before, or after? Nobody knows
    assert tick_acts_at(machine, START + 35) is Act.CANCEL


def test_what_is_not_looked_at_shows_no_progress() -> None:
    machine = behind(replace(CALM, send=30.0))
    assert tick_acts_at(machine, START + 30) is Act.CANCEL


# -- too little ----------------------------------------------------------------------------------------------


def test_one_that_takes_less_than_the_rate_is_cut_when_its_window_is_over() -> None:
    machine = behind(replace(CALM, min_rate=(1000, 60.0)))
    machine.saw(0, START)
    machine.saw(999, START + 59)
    assert tick_acts_at(machine, START + 60) is Act.CANCEL
    assert (machine.outcome, machine.cause) == (Outcome.SLOW_CLIENT, Cause.SEND_SLOW)


@pytest.mark.parametrize("every", [1, 7, 30, 59])
def test_one_that_progresses_at_the_rate_is_never_cut(every: int) -> None:
    machine = behind(replace(CALM, min_rate=(1000, 60.0)))
    for second in range(0, 3600, every):
        machine.saw(second * 1000 // 60 * 2, START + second)
        assert machine.feed(Step.TICK, START + second) is Act.NOTHING
        deadline = machine.next_deadline()
        assert deadline is not None
        assert deadline > START + second


def test_a_window_begins_when_the_last_was_kept() -> None:
    machine = behind(replace(CALM, min_rate=(1000, 60.0)))
    machine.saw(0, START)
    machine.saw(1000, START + 10)
    assert tick_acts_at(machine, START + 70) is Act.CANCEL


def test_it_does_not_run_while_there_is_nothing_to_write() -> None:
    machine = behind(replace(CALM, min_rate=(1000, 60.0)))
    machine.saw(0, START)
    machine.behind_since = None
    assert machine.next_deadline() is None
    machine.behind_since = START + 100
    assert machine.next_deadline() == START + 160
    machine.saw(0, START + 105)
    assert tick_acts_at(machine, START + 165) is Act.CANCEL


def test_it_is_not_looked_for_where_there_is_none() -> None:
    machine = behind(CALM)
    machine.saw(0, START)
    assert machine.next_deadline() is None


# -- how often to look ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "within"),
    [
        (replace(CALM, send=30.0), 7.5),
        (replace(CALM, min_rate=(1, 8.0)), 2.0),
        (replace(CALM, send=30.0, min_rate=(1, 8.0)), 2.0),
    ],
)
def test_a_client_is_looked_at_several_times_before_it_is_judged(policy: Policy, within: float) -> None:
    assert Machine(policy, START).look_again(START) == START + within


# -- the whole stream's time ---------------------------------------------------------------------------------


def test_a_total_that_was_drawn_counts_instead_of_its_range() -> None:
    machine = Machine(replace(CALM, total=(10.0, 20.0)), START, total=12.5)
    assert tick_acts_at(machine, START + 12.5) is Act.CANCEL
    assert machine.cause is Cause.TOTAL
