"""Who is let in, who waits, who is refused; and the counts are true, whatever happens in whatever order."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from endwell.lifecycle import OUTCOMES, Admission, Cause, Outcome, Standing, Visitor
from endwell.settings import Limits


def admission(**limits: Any) -> Admission:
    return Admission(Limits(**limits))


def let_in(admission: Admission, key: object = None) -> Visitor:
    visitor = admission.ask(key)
    assert isinstance(visitor, Visitor)
    assert visitor.standing is Standing.INSIDE
    return visitor


def queued(admission: Admission, key: object = None) -> Visitor:
    visitor = admission.ask(key)
    assert isinstance(visitor, Visitor)
    assert visitor.standing is Standing.WAITING
    return visitor


@pytest.mark.parametrize("cause", [Cause.OVER_TOTAL, Cause.OVER_KEY, Cause.MEMORY, Cause.DRAINING])
def test_whoever_is_refused_is_rejected(cause: Cause) -> None:
    assert OUTCOMES[cause] is Outcome.REJECTED


def test_without_limits_everybody_is_let_in() -> None:
    everybody = admission()
    for _ in range(1000):
        let_in(everybody, "ann")
    assert (everybody.inside, everybody.waiting, everybody.counts) == (1000, 0, {})


def test_no_more_are_let_in_than_the_total() -> None:
    two = admission(total=2)
    first, _ = let_in(two), let_in(two)
    assert two.ask(None) is Cause.OVER_TOTAL
    assert two.leave(first) is None
    let_in(two)
    assert two.ask(None) is Cause.OVER_TOTAL


def test_no_more_of_a_key_are_let_in_than_per_key() -> None:
    one_each = admission(per_key=1)
    ann = let_in(one_each, "ann")
    assert one_each.ask("ann") is Cause.OVER_KEY
    let_in(one_each, "bob")
    one_each.leave(ann)
    let_in(one_each, "ann")


def test_whoever_has_no_key_is_counted_under_the_total_only() -> None:
    one_each = admission(total=3, per_key=1)
    for _ in range(3):
        let_in(one_each, None)
    assert one_each.counts == {}
    assert one_each.ask(None) is Cause.OVER_TOTAL


def test_zero_and_the_empty_string_are_keys() -> None:
    one_each = admission(per_key=1)
    for key in (0, "", False, ()):
        one_each.ask(key)
    assert one_each.counts == {0: 1, "": 1, (): 1}  # False is 0


def test_a_key_that_is_over_both_limits_hears_of_its_own() -> None:
    one = admission(total=1, per_key=1)
    let_in(one, "ann")
    assert one.ask("ann") is Cause.OVER_KEY
    assert one.ask("bob") is Cause.OVER_TOTAL


def test_a_key_nobody_has_any_more_is_forgotten() -> None:
    many = admission(per_key=3)
    visitors = [let_in(many, number) for number in range(1000)]
    for visitor in visitors:
        many.leave(visitor)
    assert (many.inside, many.counts) == (0, {})


def test_those_who_wait_come_in_in_their_order() -> None:
    one = admission(total=1, queue=3)
    inside, *waiting = let_in(one), queued(one), queued(one), queued(one)
    assert one.ask(None) is Cause.OVER_TOTAL
    for next_one in waiting:
        assert one.leave(inside) is next_one
        assert next_one.standing is Standing.INSIDE
        inside = next_one
    assert one.leave(inside) is None
    assert one.inside == 0


def test_nobody_overtakes_those_who_wait() -> None:
    one = admission(total=1, queue=5)
    inside, first = let_in(one), queued(one)
    one.leave(inside)
    queued(one)
    assert first.standing is Standing.INSIDE


def test_those_who_wait_count_for_their_key() -> None:
    one = admission(total=2, per_key=2, queue=100)
    let_in(one, "ann"), let_in(one, "bob")
    queued(one, "ann")
    assert one.ask("ann") is Cause.OVER_KEY
    queued(one, "bob")
    assert one.counts == {"ann": 2, "bob": 2}


def test_whoever_withdraws_from_the_queue_leaves_its_place_to_others() -> None:
    one = admission(total=1, per_key=1, queue=1)
    inside, ann = let_in(one, "bob"), queued(one, "ann")
    assert one.ask("cid") is Cause.OVER_TOTAL
    assert one.leave(ann) is None
    cid = queued(one, "cid")
    assert one.leave(inside) is cid
    assert one.counts == {"cid": 1}


def test_whoever_leaves_twice_has_left_once() -> None:
    two = admission(total=2, per_key=2, queue=2)
    first, second = let_in(two, "ann"), let_in(two, "ann")
    two.leave(first)
    assert two.leave(first) is None
    assert (two.inside, two.counts) == (1, {"ann": 1})
    two.leave(second)
    assert (two.inside, two.counts) == (0, {})


# -- in any order --------------------------------------------------------------------------------------------

STEPS = 300 if settings().max_examples > 1000 else 50
"""With the 5,000 examples of `make prove`, 1.5 × 10^6 visitors come or go; many walks are stopped earlier."""

limit = st.none() | st.integers(1, 5)


class AnyOrder(RuleBasedStateMachine):
    """Streams come, end, give up, are refused: lists say who should be where, and count nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.inside: list[Visitor] = []
        self.waiting: list[Visitor] = []
        self.gone: list[Visitor] = []
        self.keys: dict[Visitor, object] = {}

    @initialize(total=limit, per_key=limit, queue=limit)
    def begin(self, total: int | None, per_key: int | None, queue: int | None) -> None:
        if total is None:
            queue = None
        elif per_key is not None:
            per_key = min(per_key, total)
        self.limits = Limits(total=total, per_key=per_key, queue=queue)
        self.admission = Admission(self.limits)

    def expected(self, key: object) -> Standing | Cause:
        """What is to come of asking, by the words of the documentation."""
        total, per_key, queue = self.limits.total, self.limits.per_key, self.limits.queue
        here = [self.keys[visitor] for visitor in self.inside + self.waiting]
        if per_key is not None and key is not None and here.count(key) == per_key:
            return Cause.OVER_KEY
        if total is None or len(self.inside) < total:
            return Standing.INSIDE
        if queue is not None and len(self.waiting) < queue:
            return Standing.WAITING
        return Cause.OVER_TOTAL

    @rule(keys=st.lists(st.sampled_from([None, "ann", "bob", "cid"]), min_size=1, max_size=4))
    def some_ask(self, keys: list[str | None]) -> None:
        for key in keys:
            expected = self.expected(key)
            visitor = self.admission.ask(key)
            if isinstance(visitor, Cause):
                assert visitor is expected
                continue
            assert visitor.standing is expected
            self.keys[visitor] = key
            (self.inside if expected is Standing.INSIDE else self.waiting).append(visitor)
            self.the_counts_are_true()

    def goes(self, visitor: Visitor) -> None:
        """From wherever it is; the first who waits is to have its place."""
        first = None
        if visitor in self.waiting:
            self.waiting.remove(visitor)
        else:
            self.inside.remove(visitor)
            if self.waiting:
                self.inside.append(first := self.waiting.pop(0))
        self.gone.append(visitor)
        assert self.admission.leave(visitor) is first
        self.the_counts_are_true()

    @precondition(lambda self: self.inside)
    @rule(which=st.integers(0, 9))
    def one_leaves(self, which: int) -> None:
        self.goes(self.inside[which % len(self.inside)])

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 9))
    def one_withdraws(self, which: int) -> None:
        self.goes(self.waiting[which % len(self.waiting)])

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 9))
    def one_is_let_in_but_has_given_up(self, which: int) -> None:
        self.one_leaves(which)
        self.goes(self.inside[-1])

    @precondition(lambda self: len(self.inside) > 1)
    @rule(which=st.integers(1, 255))
    def some_are_killed(self, which: int) -> None:
        for at, visitor in enumerate(self.inside + self.waiting):
            if which >> at & 1:
                self.goes(visitor)

    @precondition(lambda self: self.gone)
    @rule(which=st.integers(0, 99))
    def one_leaves_again(self, which: int) -> None:
        assert self.admission.leave(self.gone[which % len(self.gone)]) is None

    @invariant()
    def the_counts_are_true(self) -> None:
        if not hasattr(self, "admission"):
            return
        assert self.admission.inside == len(self.inside)
        assert self.admission.waiting == len(self.waiting)
        here = [self.keys[visitor] for visitor in self.inside + self.waiting]
        counted = here if self.limits.per_key is not None else []
        assert self.admission.counts == Counter(key for key in counted if key is not None)

    @invariant()
    def everybody_stands_where_it_should(self) -> None:
        for standing, visitors in (
            (Standing.INSIDE, self.inside),
            (Standing.WAITING, self.waiting),
            (Standing.GONE, self.gone[-5:]),
        ):
            assert {visitor.standing for visitor in visitors} <= {standing}


AnyOrder.TestCase.settings = settings(
    stateful_step_count=STEPS,
    suppress_health_check=[HealthCheck.large_base_example],  # long walks are what is wanted
)
TestAnyOrder = AnyOrder.TestCase
