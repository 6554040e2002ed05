"""The threads of sync sources: so many at once, in turn; one that hangs is counted, named, and let go."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from endwell import ConfigurationError
from endwell.engine._pool import Job, ThreadPool, pool_of

PATIENCE = 5.0
"""Seconds of real time for what happens at once."""


class Blocked:
    """A job that hangs until it is told to go on."""

    def __init__(self, name: str = "source") -> None:
        self.began, self.go_on, self.over = threading.Event(), threading.Event(), threading.Event()
        self.refused: Exception | None = None
        self.job = Job(self._work, self._done, name)

    def _work(self) -> None:
        self.began.set()
        self.hang()

    def hang(self) -> None:
        self.go_on.wait(PATIENCE)

    def _done(self, refused: Exception | None) -> None:
        self.refused = refused
        self.over.set()

    def running(self) -> bool:
        """Whether it has begun; gives it the time."""
        return self.began.wait(PATIENCE)

    def finish(self) -> None:
        """Let it end, and wait until it has."""
        self.go_on.set()
        assert self.over.wait(PATIENCE)


@pytest.fixture
def blocked() -> Iterator[list[Blocked]]:
    """Jobs that end with the test."""
    jobs = [Blocked(f"source {number}") for number in range(6)]
    yield jobs
    for each in jobs:
        each.go_on.set()


def run(pool: ThreadPool, *jobs: Blocked) -> None:
    for each in jobs:
        pool.run(each.job)


def test_jobs_above_the_bound_wait_and_get_their_turn_in_the_order_they_came(blocked: list[Blocked]) -> None:
    pool = ThreadPool(2)
    run(pool, *blocked[:5])
    assert pool.busy() == (2, 3, 0)
    assert blocked[0].running()
    assert blocked[1].running()
    for number in (2, 3, 4):
        assert not blocked[number].began.is_set()
        blocked[number - 2].finish()
        assert blocked[number].running()
    for each in blocked[3:5]:
        each.finish()
    assert pool.busy() == (0, 0, 0)


def test_a_job_that_waits_can_be_withdrawn_and_is_never_run(blocked: list[Blocked]) -> None:
    pool = ThreadPool(1)
    first, second, third = blocked[:3]
    run(pool, first, second, third)
    assert pool.withdraw(second.job)
    assert not pool.withdraw(second.job)
    first.finish()
    assert third.running()
    assert not second.began.is_set()
    assert pool.busy() == (1, 0, 0)


def test_a_job_that_runs_or_is_over_cannot_be_withdrawn(blocked: list[Blocked]) -> None:
    pool = ThreadPool(1)
    run(pool, blocked[0])
    assert not pool.withdraw(blocked[0].job)
    blocked[0].finish()
    assert not pool.withdraw(blocked[0].job)


def test_each_job_has_a_fresh_thread_with_nothing_of_the_last_one_in_its_thread_locals() -> None:
    pool = ThreadPool(1)
    local = threading.local()
    found = []
    over = threading.Event()

    def work() -> None:
        found.append(getattr(local, "session", None))
        local.session = "left by another"

    for number in range(3):
        pool.run(Job(work, lambda _, last=number == 2: over.set() if last else None, "source"))  # type: ignore[misc]
    assert over.wait(PATIENCE)
    assert found == [None] * 3


def test_a_thread_is_a_daemon_with_a_name() -> None:
    pool, job = ThreadPool(1), Blocked()
    run(pool, job)
    assert job.job.thread is not None
    assert (job.job.thread.daemon, job.job.thread.name) == (True, "endwell source")
    job.finish()


# -- threads that hang ---------------------------------------------------------------------------------------


def test_a_job_that_is_let_go_makes_room_for_the_next(blocked: list[Blocked]) -> None:
    pool = ThreadPool(1)
    run(pool, *blocked[:2])
    assert blocked[0].running()
    pool.let_go(blocked[0].job)
    assert blocked[1].running()
    assert pool.busy() == (1, 0, 1)
    blocked[0].finish()
    assert pool.busy() == (1, 0, 0)


def test_as_many_hanging_threads_as_there_may_be_do_not_keep_others_out(blocked: list[Blocked]) -> None:
    pool = ThreadPool(2)
    for each in blocked[:5]:
        run(pool, each)
        assert each.running()
        pool.let_go(each.job)
    run(pool, blocked[5])
    assert blocked[5].running()
    assert pool.busy() == (1, 0, 5)


def test_the_line_at_which_a_thread_hangs_is_in_the_warning_and_its_return_is_told(
    blocked: list[Blocked], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "endwell")
    pool = ThreadPool(1)
    run(pool, *blocked[:3])
    assert blocked[0].running()
    pool.let_go(blocked[0].job)
    warning = next(record for record in caplog.records if "let go" in record.message)
    assert warning.levelno == logging.WARNING
    assert warning.message.startswith("source 0 is still at Blocked.hang (")
    assert "test_pool.py:" in warning.message
    assert "1 running, 1 waiting, 1 let go" in warning.message
    blocked[0].finish()
    told = next(record for record in caplog.records if "came back" in record.message)
    assert told.levelno == logging.INFO
    assert told.message.startswith("source 0 came back")


def test_a_job_that_was_just_over_is_not_let_go(
    blocked: list[Blocked], caplog: pytest.LogCaptureFixture
) -> None:
    pool = ThreadPool(1)
    run(pool, blocked[0])
    blocked[0].finish()
    pool.let_go(blocked[0].job)
    assert pool.busy() == (0, 0, 0)
    assert caplog.records == []


def test_a_thread_that_has_ended_has_no_frame_even_if_another_has_its_number(blocked: list[Blocked]) -> None:
    pool = ThreadPool(1)
    assert blocked[0].job.frame() is None
    run(pool, blocked[0])
    assert blocked[0].running()
    assert blocked[0].job.frame() is not None
    blocked[0].finish()
    assert blocked[0].job.thread is not None
    blocked[0].job.thread.join(PATIENCE)
    run(pool, blocked[1])
    assert blocked[1].running()
    assert blocked[0].job.frame() is None


# -- what the operator hears ---------------------------------------------------------------------------------


def crowds(caplog: pytest.LogCaptureFixture) -> int:
    return sum("sync sources (2) are all in use" in record.message for record in caplog.records)


def test_a_full_pool_is_told_once_until_it_has_emptied(
    blocked: list[Blocked], caplog: pytest.LogCaptureFixture
) -> None:
    pool = ThreadPool(2)
    run(pool, *blocked[:2])
    assert crowds(caplog) == 0
    run(pool, *blocked[2:4])
    assert crowds(caplog) == 1
    blocked[0].finish()
    blocked[1].finish()
    run(pool, blocked[4])
    assert crowds(caplog) == 1
    for each in blocked[2:5]:
        each.finish()
    again = [Blocked() for _ in range(3)]
    run(pool, *again)
    assert crowds(caplog) == 2
    for each in again:
        each.finish()


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "8", None])
def test_a_size_that_is_no_positive_whole_number_is_refused(size: Any) -> None:
    with pytest.raises(ConfigurationError, match="threads must be a whole number, 1 or more; got"):
        ThreadPool(size)


# -- threads that cannot be had ------------------------------------------------------------------------------


def no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_job_for_which_no_thread_can_be_started_is_told_so(
    blocked: list[Blocked], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = ThreadPool(2)
    with monkeypatch.context() as scarce:
        scarce.setattr(threading.Thread, "start", no_thread)
        run(pool, blocked[0])
    assert isinstance(blocked[0].refused, RuntimeError)
    assert "for source 0" in blocked[0].refused.__notes__[0]
    assert pool.busy() == (0, 0, 0)
    run(pool, blocked[1])
    assert blocked[1].running()


def test_those_who_wait_are_told_too_if_no_thread_can_be_started_in_their_turn(
    blocked: list[Blocked], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = ThreadPool(1)
    run(pool, *blocked[:3])
    assert blocked[0].running()
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    blocked[0].finish()
    for each in blocked[1:3]:
        assert each.over.wait(PATIENCE)
        assert isinstance(each.refused, RuntimeError)
    assert pool.busy() == (0, 0, 0)


# -- whose pool it is ----------------------------------------------------------------------------------------


def test_streams_without_an_application_share_the_pool_of_their_loop() -> None:
    one, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    assert pool_of(one) is pool_of(one)
    assert pool_of(one) is not pool_of(other)
    for loop in (one, other):
        loop.close()


def test_the_pool_of_a_loop_goes_with_it() -> None:
    loop = asyncio.new_event_loop()
    pool = weakref.ref(pool_of(loop))
    loop.close()
    del loop
    gc.collect()
    assert pool() is None


# -- in any order --------------------------------------------------------------------------------------------

SIZE = 2


class AnyOrder(RuleBasedStateMachine):
    """Jobs come, end, are let go and withdrawn in any order; a list says who should be where."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = ThreadPool(SIZE)
        self.running: list[Blocked] = []
        self.waiting: list[Blocked] = []
        self.let_go: list[Blocked] = []

    def fill_up(self) -> None:
        while self.waiting and len(self.running) < SIZE:
            self.running.append(self.waiting.pop(0))

    @rule()
    def a_job_comes(self) -> None:
        job = Blocked()
        self.waiting.append(job)
        self.pool.run(job.job)
        self.fill_up()

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, SIZE - 1))
    def one_ends(self, which: int) -> None:
        job = self.running.pop(which % len(self.running))
        self.fill_up()
        job.finish()

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, SIZE - 1))
    def one_is_let_go(self, which: int) -> None:
        job = self.running.pop(which % len(self.running))
        self.let_go.append(job)
        self.fill_up()
        self.pool.let_go(job.job)

    @precondition(lambda self: self.let_go)
    @rule()
    def one_comes_back(self) -> None:
        self.let_go.pop().finish()

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 9))
    def one_is_withdrawn(self, which: int) -> None:
        job = self.waiting.pop(which % len(self.waiting))
        assert self.pool.withdraw(job.job)

    @invariant()
    def all_are_where_they_should_be(self) -> None:
        assert self.pool.busy() == (len(self.running), len(self.waiting), len(self.let_go))
        assert all(job.running() for job in self.running)
        assert not any(job.began.is_set() for job in self.waiting)

    def teardown(self) -> None:
        self.waiting = [job for job in self.waiting if not self.pool.withdraw(job.job)]
        for job in self.running + self.let_go:
            job.finish()


AnyOrder.TestCase.settings = settings(max_examples=40, stateful_step_count=20)
TestAnyOrder = AnyOrder.TestCase
