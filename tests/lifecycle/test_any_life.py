"""Whatever happens, in whatever order, at whatever times: one outcome, one end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from endwell import Finish, Grace, Policy
from endwell.errors import IllegalStep
from endwell.lifecycle import OUTCOMES, TRANSITIONS, Act, Cause, Machine, Outcome, State, Step
from tests.lifecycle.lives import CAUSES, STEPS, Engine, WatchfulEngine, everything

TERMINAL = {Act.REPORT, Act.ABANDON}
STAMPS = ("last_chunk_at", "last_write_at", "blocked_since", "behind_since", "paused")


@st.composite
def policies(draw: st.DrawFn, *, rates: bool = False) -> Policy:
    """Whole seconds, so that deadlines meet each other and everything else."""
    limit = st.none() | st.integers(1, 8)
    heartbeat = draw(limit)
    return Policy(
        heartbeat=heartbeat,
        between_chunks=draw(st.none() | st.integers((heartbeat or 0) + 1, 12)),
        hold=draw(st.none() | st.integers(0, 8)),
        first_chunk=draw(limit),
        send=draw(limit),
        total=draw(st.none() | st.integers(1, 30)),
        on_leave=draw(st.sampled_from(["cancel", "cancel", Grace(3), Finish(20)])),
        min_rate=draw(st.none() | st.tuples(st.integers(1, 9), st.integers(1, 9))) if rates else None,
        cleanup=draw(st.integers(1, 8)),
    )


# -- any steps, any stamps, any times ------------------------------------------------------------------------

times = st.integers(0, 40).map(float) | st.floats(-1e9, 1e9)
OTHERS = ("unblocked", "caught up", "saw", "going")
Event: TypeAlias = tuple[Step | Cause | str, float]
events: st.SearchStrategy[Event] = st.tuples(
    st.sampled_from([*STEPS, Step.TICK, Step.TICK, *CAUSES, *STAMPS, *OTHERS]),
    times,
)


class Witness:
    """Feeds a machine what happens, and checks each answer against what the machine knew before."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.machine = Machine(policy, 0.0)
        self.first_cause: Cause | None = None
        self.over = self.taken = 0

    def see(self, what: Step | Cause | str, when: float) -> None:
        if isinstance(what, (Step, Cause)):
            self._feed(what, when)
        elif what == "paused":
            self.machine.paused = not self.machine.paused
        elif what == "unblocked":
            self.machine.blocked_since = None
        elif what == "caught up":
            self.machine.behind_since = None
        elif what == "going":
            self.machine.leave_by(when, when + 5)
        elif what == "saw":
            self.taken += int(when) % 3
            self.machine.saw(self.taken, when)
        else:
            setattr(self.machine, what, when)

    def _feed(self, step: Step | Cause, now: float) -> None:
        machine = self.machine
        before, state = everything(machine), machine.state
        possible = set(self._causes(step, now))
        try:
            act = machine.feed(step, now)
        except IllegalStep:
            assert isinstance(step, Step)
            assert step not in TRANSITIONS[state]
            assert everything(machine) == before
            return
        if self.over:
            assert act is Act.NOTHING
            assert everything(machine) == before
        self.over += act in TERMINAL
        self._check_cause(act, possible)
        assert list(State).index(machine.state) >= list(State).index(state)

    def _check_cause(self, act: Act, possible: set[Cause]) -> None:
        machine = self.machine
        if self.first_cause is not None:
            assert machine.cause is self.first_cause
        elif machine.cause is not None:
            detached = self.policy.on_leave != "cancel" and OUTCOMES[machine.cause] is Outcome.CLIENT_GONE
            assert act is Act.CANCEL or (detached and act is Act.DETACH)
            assert machine.cause in possible
            self.first_cause = machine.cause
        assert (act is Act.CANCEL) <= (machine.cause is not None)
        assert machine.outcome is (None if machine.cause is None else OUTCOMES[machine.cause])

    def _causes(self, step: Step | Cause, now: float) -> Iterator[Cause]:
        """The causes that `step` may be at this moment, told from the policy's own words."""
        machine, policy = self.machine, self.policy
        if isinstance(step, Cause):
            yield step
        if step is Step.FLUSHED:
            yield Cause.SOURCE_ENDED
        if step is not Step.TICK:
            return
        silent = machine.first_chunk_at is None
        clocks: list[tuple[Cause, float | None, float | None]] = [
            (Cause.TOTAL, machine.started_at, machine._total),
            (Cause.SEND_BLOCKED, machine.blocked_since, policy.send),
            (Cause.DRAIN, machine.release_at, 0.0),
            (Cause.SEND_SLOW, machine.behind_since, policy.min_rate and policy.min_rate[1]),
            (Cause.FIRST_CHUNK, machine.started_at if silent else None, policy.first_chunk),
            (
                Cause.BETWEEN_CHUNKS,
                None if silent or machine.paused else machine.last_chunk_at,
                policy.between_chunks,
            ),
        ]
        if machine.state is State.FLUSHING and machine.release_at is not None:
            assert machine.over_by is not None
            if now >= min(machine.release_at + policy.cleanup, machine.over_by):
                yield Cause.SEND_BLOCKED
        for cause, since, limit in clocks:
            if since is not None and limit is not None and now >= since + limit:
                yield cause


@given(policies(rates=True), st.lists(events))
def test_any_sequence_of_events_has_one_outcome_and_one_end(policy: Policy, life: list[Event]) -> None:
    witness = Witness(policy)
    # Whatever has happened, an end can be made: a cause, then the cleanup's end or its deadline.
    for what, when in [
        *life,
        (Cause.STOP, 0.0),
        (Cause.SERVER_CANCELLED, 0.0),
        (Step.TICK, 0.0),
        (Step.CLEANUP_DONE, 0.0),
        *life,
    ]:
        witness.see(what, when)
    assert witness.over == 1
    assert witness.first_cause is not None
    assert witness.machine.state is State.ENDED


# -- an engine that looks only when it is told to ------------------------------------------------------------

happenings = st.lists(
    st.tuples(
        st.integers(0, 9),
        st.sampled_from(
            [
                *("chunk", "chunk", "chunk", "source_ends", "cleanup_ends"),
                *("client_stops_reading", "client_stops_reading", "client_reads_again", "client_reads_again"),
                *("process_goes", "process_goes_now"),
                *(Cause.DISCONNECT, Cause.SOURCE_RAISED, Cause.STOP),
            ]
        ),
    ),
    max_size=12,
)
Life: TypeAlias = list[tuple[int, str | Cause]]


def live(engine: Engine, life: Life) -> Engine:
    for pause, what in life:
        engine.run_to(engine.now + pause)
        if isinstance(what, Cause):
            engine.end(what)
        else:
            getattr(engine, what)()
    engine.run_to(engine.now + 50)
    engine.end(Cause.SERVER_CANCELLED)
    engine.run_to(engine.now + 50)
    return engine


@given(policies(), st.booleans(), happenings)
def test_who_looks_when_told_sees_what_one_sees_who_always_looks(
    policy: Policy, mute: bool, life: Life
) -> None:
    expected = live(WatchfulEngine(policy, mute=mute), life)
    assert live(Engine(policy, mute=mute), life).diary == expected.diary


@given(policies(), happenings)
def test_a_life_ends_with_one_act_and_nothing_follows_it(policy: Policy, life: Life) -> None:
    engine = live(Engine(policy), life)
    acts = [act for _, act, _ in engine.diary]
    assert acts.count(Act.CANCEL) == 1
    assert [act for act in acts if act in TERMINAL] == acts[-1:]
    causes = [cause for _, _, cause in engine.diary[acts.index(Act.CANCEL) :]]
    assert set(causes) == {engine.machine.cause}
    assert acts.count(Act.DETACH) <= 1
