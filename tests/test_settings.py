"""A wrong setting is an error where it is made, which names the field, the value and the bound."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import math
import pickle
import re
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell import ConfigurationError, Deployment, EndwellError, Finish, Grace, Policy
from endwell.settings import LEEWAY, MAX_RETRY

FIELDS = {field.name: field.default for field in dataclasses.fields(Policy)}
DURATIONS = ["heartbeat", "hold", "first_chunk", "between_chunks", "send", "total", "cleanup", "drain"]
MAY_BE_ZERO = {"hold", "drain"}
NEVER_NONE = {"cleanup", "drain"}
NO_DURATION = [
    *(-1, -0.001, -math.inf, math.inf, math.nan),
    *("5", "", b"5", True, False, (), [5.0], 5 + 0j, timedelta(seconds=5), Fraction(5)),
]


def made(options: dict[str, Any]) -> Policy:
    return Policy(**options)


def message(options: dict[str, Any]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        made(options)
    return str(caught.value)


def test_a_configuration_error_is_endwells_and_a_value_error() -> None:
    assert issubclass(ConfigurationError, EndwellError)
    assert issubclass(ConfigurationError, ValueError)


# -- durations -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", DURATIONS)
@pytest.mark.parametrize("value", NO_DURATION, ids=repr)
def test_what_is_no_duration_is_refused(field: str, value: object) -> None:
    if field == "total" and isinstance(value, tuple):
        assert message({field: value}).startswith("total must be seconds, or a pair")
        return
    bound = "0 or more" if field in MAY_BE_ZERO else "more than 0"
    unset = "" if field in NEVER_NONE else ", or None"
    assert message({field: value}) == (
        f"{field} must be a finite number of seconds, {bound}{unset}; got {value!r}"
    )


@pytest.mark.parametrize("field", [name for name in DURATIONS if name not in MAY_BE_ZERO])
@pytest.mark.parametrize("zero", [0, 0.0, -0.0])
def test_most_durations_cannot_be_zero(field: str, zero: float) -> None:
    assert "more than 0" in message({field: zero})


@pytest.mark.parametrize("field", sorted(MAY_BE_ZERO))
@pytest.mark.parametrize("zero", [0, 0.0])
def test_zero_means_at_once_where_that_makes_sense(field: str, zero: float) -> None:
    assert getattr(made({field: zero}), field) == 0


@pytest.mark.parametrize("field", [name for name in DURATIONS if name not in NEVER_NONE])
def test_none_switches_a_limit_off(field: str) -> None:
    assert getattr(made({field: None}), field) is None


@pytest.mark.parametrize("field", sorted(NEVER_NONE))
def test_a_cleanup_and_a_drain_always_have_a_limit(field: str) -> None:
    assert "got None" in message({field: None})


@pytest.mark.parametrize("field", DURATIONS)
def test_an_int_that_no_float_can_hold_is_no_duration(field: str) -> None:
    assert f"{field} must be a finite number of seconds" in message({field: 10**400})


@given(st.sampled_from(DURATIONS), st.floats() | st.integers(-(10**300), 10**300) | st.text() | st.none())
def test_any_value_is_taken_as_it_is_or_refused_by_name(field: str, value: Any) -> None:
    policy, complaint = None, ""
    try:
        policy = made({field: value})
    except ConfigurationError as error:
        complaint = str(error)
    if policy is None:
        assert field in complaint
        assert repr(value) in complaint
    else:
        assert getattr(policy, field) is value


# -- durations that depend on each other ---------------------------------------------------------------------


@pytest.mark.parametrize("heartbeat", [10, 10.0, 10.1, 60])
def test_a_heartbeat_must_come_before_the_next_chunk_is_late(heartbeat: float) -> None:
    assert message({"heartbeat": heartbeat, "between_chunks": 10}).startswith(
        f"heartbeat must be shorter than between_chunks (10 s), got {heartbeat!r}"
    )


def test_the_default_heartbeat_is_held_to_it_too() -> None:
    expected = "heartbeat must be shorter than between_chunks (15 s), got 15.0"
    assert message({"between_chunks": 15}).startswith(expected)


@pytest.mark.parametrize("options", [{"heartbeat": 9.999}, {"heartbeat": None}])
def test_a_shorter_heartbeat_or_none_is_fine(options: dict[str, Any]) -> None:
    assert Policy(between_chunks=10, **options).between_chunks == 10


@pytest.mark.parametrize("heartbeat", [0.999, 0.001])
def test_a_fast_heartbeat_has_to_be_insisted_on(heartbeat: float) -> None:
    assert message({"heartbeat": heartbeat}) == (
        f"heartbeat must be at least 1 s, got {heartbeat!r}; pass allow_fast_heartbeat=True to insist"
    )
    assert Policy(heartbeat=heartbeat, allow_fast_heartbeat=True).heartbeat == heartbeat


def test_a_heartbeat_of_one_second_is_not_fast() -> None:
    assert Policy(heartbeat=1).heartbeat == 1


def test_a_fast_heartbeat_must_still_be_one() -> None:
    assert "more than 0" in message({"heartbeat": 0, "allow_fast_heartbeat": True})


@pytest.mark.parametrize("cleanup", [20.0, 20.5, 21])
def test_a_cleanup_must_fit_into_the_drain(cleanup: float) -> None:
    expected = f"cleanup must be shorter than drain (20.0 s), got {cleanup!r}"
    assert message({"cleanup": cleanup}).startswith(expected)


def test_a_short_drain_asks_for_a_short_cleanup() -> None:
    assert message({"drain": 10}).startswith("cleanup must be shorter than drain (10 s), got 15.0")
    assert Policy(drain=10, cleanup=9.9).drain == 10


def test_a_drain_that_ends_streams_at_once_is_no_bound_for_the_cleanup() -> None:
    assert Policy(drain=0, cleanup=60).cleanup == 60


# -- retry ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [-1, True, False, 1.5, 10**30, MAX_RETRY + 1, "1000", None, math.nan])
@pytest.mark.parametrize("place", [0, 1])
def test_a_reconnection_time_is_a_whole_number_that_browsers_can_wait_for(part: Any, place: int) -> None:
    retry: list[Any] = [1, MAX_RETRY]
    retry[place] = part
    assert message({"retry": tuple(retry)}) == (
        f"retry must be a pair of whole milliseconds from 0 to 2147483647, or None; got {tuple(retry)!r}"
    )


@pytest.mark.parametrize("retry", [1000, -1, True, 1.5, 10**30, (), (1,), (1, 2, 3), [1, 2], "12", {1, 2}])
def test_reconnection_times_are_a_pair(retry: Any) -> None:
    assert "retry must be a pair of whole milliseconds" in message({"retry": retry})
    assert repr(retry) in message({"retry": retry})


def test_the_least_reconnection_time_comes_first() -> None:
    assert message({"retry": (2, 1)}) == "retry must be (least, most), got (2, 1)"


@pytest.mark.parametrize("retry", [(0, 0), (1, 1), (0, MAX_RETRY), None])
def test_both_ends_of_the_range_are_allowed(retry: tuple[int, int] | None) -> None:
    assert Policy(retry=retry).retry == retry


# -- options -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("heartbeet", "heartbeat"),
        ("between_chunk", "between_chunks"),
        ("clean_up", "cleanup"),
        ("Drain", "drain"),
        ("total_timeout", "total"),
        ("retries", "retry"),
    ],
)
def test_an_unknown_option_is_answered_with_the_nearest_name(wrong: str, right: str) -> None:
    expected = f"Policy has no option {wrong!r}; did you mean {right!r}?"
    with pytest.raises(TypeError, match=re.escape(expected)):
        made({wrong: 5.0})


@given(st.text().filter(lambda name: name not in FIELDS))
def test_any_unknown_option_is_named(wrong: str) -> None:
    with pytest.raises(TypeError, match=re.escape(f"Policy has no option {wrong!r}")):
        made({wrong: 5.0})


def test_options_have_names() -> None:
    with pytest.raises(TypeError, match="positional"):
        Policy(15.0)  # type: ignore[call-arg]
    kinds = {parameter.kind for parameter in inspect.signature(Policy.__init__).parameters.values()}
    assert kinds == {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}


def test_the_defaults_are_those_of_the_documentation() -> None:
    assert FIELDS == {
        "heartbeat": 15.0,
        "hold": 5.0,
        "first_chunk": None,
        "between_chunks": None,
        "send": 30.0,
        "min_rate": None,
        "max_buffer": 262_144,
        "linger": None,
        "total": None,
        "on_leave": "cancel",
        "cleanup": 15.0,
        "drain": 20.0,
        "retry": (1000, 3000),
        "soft_refusal": False,
        "allow_fast_heartbeat": False,
    }


def test_every_option_is_documented_in_order() -> None:
    arguments, _, _ = (inspect.getdoc(Policy) or "").partition("\nRaises:\n")
    assert re.findall(r"^    (\w+): ", arguments, re.MULTILINE) == list(FIELDS)


# -- a policy is a value -------------------------------------------------------------------------------------


def test_a_policy_is_frozen() -> None:
    policy = Policy()
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.heartbeat = 1.0  # type: ignore[misc]


def test_policies_with_the_same_settings_are_the_same() -> None:
    assert Policy(total=60) == Policy(total=60.0)
    assert Policy() != Policy(total=60)
    assert len({Policy(), Policy(), Policy(total=60)}) == 2


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_copy_is_equal(copied: Any) -> None:
    policy = Policy(total=60, retry=None)
    assert copied(policy) == policy


def test_replacing_makes_another_policy() -> None:
    policy = Policy(total=60)
    changed = dataclasses.replace(policy, send=None)
    assert (changed.total, changed.send) == (60, None)
    assert policy.send == 30.0


def test_replacing_is_held_to_the_same_bounds() -> None:
    policy = Policy(between_chunks=20)
    with pytest.raises(ConfigurationError, match="heartbeat must be shorter than between_chunks"):
        dataclasses.replace(policy, heartbeat=20)
    with pytest.raises(TypeError, match="did you mean 'heartbeat'"):
        dataclasses.replace(policy, heartbeet=20)  # type: ignore[call-arg]


# -- what is more than a duration ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ((1.0,), "total must be seconds, or a pair (least, most) of them; got (1.0,)"),
        ((2.0, 1.0), "total must be (least, most), got (2.0, 1.0)"),
        ((0, 1.0), "each of total's pair must be a finite number of seconds, more than 0; got 0"),
        (("1", 2), "each of total's pair must be a finite number of seconds, more than 0; got '1'"),
    ],
)
def test_a_total_to_draw_from_is_a_pair_in_order(value: object, said: str) -> None:
    assert message({"total": value}) == said


def test_a_total_may_be_drawn() -> None:
    assert Policy(total=(60, 90)).total == (60, 90)


@pytest.mark.parametrize("value", [1000, (1,), (1, 2, 3), [1, 2], "1,2"])
def test_what_is_no_rate_is_refused(value: object) -> None:
    assert message({"min_rate": value}) == f"min_rate must be a pair (bytes, seconds), or None; got {value!r}"


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "5", None])
def test_a_number_of_bytes_is_whole_and_above_zero(value: object) -> None:
    bound = f"must be a whole number of bytes, at least 1; got {value!r}"
    assert message({"max_buffer": value}) == f"max_buffer {bound}"
    assert message({"min_rate": (value, 60)}) == f"min_rate's first {bound}"


@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan, "5", True, None])
def test_the_seconds_of_a_rate_and_of_what_follows_a_client_are_seconds(value: Any) -> None:
    bound = f"must be a finite number of seconds, more than 0; got {value!r}"
    assert message({"min_rate": (1, value)}) == f"min_rate's second {bound}"
    for kind in (Grace, Finish):
        with pytest.raises(ConfigurationError, match=re.escape(f"{kind.__name__}'s seconds {bound}")):
            kind(value)


@pytest.mark.parametrize("value", ["detach", None, True, 5, Grace])
def test_what_follows_a_client_that_leaves_is_one_of_four(value: object) -> None:
    assert message({"on_leave": value}) == (
        f'on_leave must be "cancel", "finish", Grace(seconds) or Finish(seconds), got {value!r}'
    )


def test_finish_in_a_word_is_finish_with_its_default() -> None:
    assert Policy(on_leave="finish") == Policy(on_leave=Finish(600))
    assert Policy(on_leave=Grace(5)).on_leave == Grace(5)


def test_a_switch_is_true_or_false() -> None:
    assert message({"soft_refusal": 1}) == "soft_refusal must be True or False, got 1"


# -- what must fit the platform ------------------------------------------------------------------------------

FITS = Deployment(pre_stop=5)
NUMBERS = st.floats(0, 100).map(lambda number: round(number, 2))
POLICIES = st.builds(
    lambda drain, share, retry: Policy(drain=drain, cleanup=drain * share, retry=retry),
    st.floats(0.1, 100).map(lambda number: round(number, 2)),
    st.floats(0.01, 0.99),
    st.none() | st.tuples(st.integers(0, 9000), st.integers(9000, 60_000)),
)
DEPLOYMENTS = st.builds(
    Deployment,
    grace_period=NUMBERS.map(lambda number: number + 1),
    pre_stop=NUMBERS,
    endpoint_lag=NUMBERS,
    server_timeout=st.none() | NUMBERS.map(lambda number: number + 1),
    app_shutdown=NUMBERS,
    streams=st.none() | st.integers(1, 10_000),
    streams_per_second=st.integers(1, 10_000),
)


def only(deployment: Deployment, policy: Policy) -> str:
    (problem,) = deployment.problems(policy)
    return problem


def refusal(options: dict[str, Any]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Deployment(**options)
    return str(caught.value)


@pytest.mark.parametrize("value", NO_DURATION, ids=repr)
@pytest.mark.parametrize(
    ("field", "bound"),
    [
        ("grace_period", "more than 0"),
        ("server_timeout", "more than 0, or None"),
        ("pre_stop", "0 or more"),
        ("endpoint_lag", "0 or more"),
        ("app_shutdown", "0 or more"),
    ],
)
def test_a_deployments_durations_are_checked(field: str, bound: str, value: object) -> None:
    expected = f"{field} must be a finite number of seconds, {bound}; got {value!r}"
    assert refusal({field: value}) == expected


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "5", math.nan])
@pytest.mark.parametrize("field", ["streams", "streams_per_second"])
def test_a_deployments_numbers_of_streams_are_whole(field: str, value: object) -> None:
    assert refusal({field: value}) == f"{field} must be a whole number, at least 1; got {value!r}"


@pytest.mark.parametrize("field", ["grace_period", "server_timeout"])
def test_a_process_that_is_killed_at_once_has_no_numbers_that_fit(field: str) -> None:
    assert "more than 0" in refusal({field: 0})


def test_a_deployments_unknown_option_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(TypeError, match="Deployment has no option 'prestop'; did you mean 'pre_stop'"):
        Deployment(prestop=5)  # type: ignore[call-arg]


def test_every_option_of_a_deployment_is_documented_in_order() -> None:
    arguments, _, _ = (inspect.getdoc(Deployment) or "").partition("\nRaises:\n")
    names = [field.name for field in dataclasses.fields(Deployment)]
    assert re.findall(r"^    (\w+): ", arguments, re.MULTILINE) == names


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_deployment_is_a_frozen_value(copied: Any) -> None:
    assert copied(FITS) == FITS
    with pytest.raises(dataclasses.FrozenInstanceError):
        FITS.pre_stop = 1.0  # type: ignore[misc]


def test_the_defaults_of_kubernetes_fit_with_a_short_pre_stop() -> None:
    assert FITS.problems(Policy()) == []


def test_without_a_pre_stop_new_requests_come_too_late() -> None:
    assert only(Deployment(), Policy()) == (
        "new requests come for 5 s in which they are turned away: endpoint_lag is 5 s, pre_stop 0 s; let "
        "preStop sleep 5 s, in a grace_period of at least 27 s, as it counts as part of it"
    )


def test_a_pre_stop_counts_as_part_of_the_grace_period() -> None:
    assert only(Deployment(pre_stop=15), Policy()) == (
        "the process is killed while it shuts down: pre_stop (15) + drain (20) + 0.5 + app_shutdown (1) make "
        "36.5 s, and grace_period is 30 s; make it at least 37 s, or take 6.5 s off the others"
    )


@pytest.mark.parametrize("pre_stop", [30, 45])
def test_a_pre_stop_of_all_the_grace_period_is_another_problem(pre_stop: float) -> None:
    problem = only(Deployment(pre_stop=pre_stop), Policy())
    assert problem.startswith("the process is killed before its streams are told: ")


@pytest.mark.parametrize("server_timeout", [3, 21.4])
def test_a_server_that_loses_its_patience_is_found(server_timeout: float) -> None:
    """hypercorn waits for 3 s by default."""
    deployment = Deployment(pre_stop=5, server_timeout=server_timeout)
    assert only(deployment, Policy()) == (
        f"the server cancels streams or kills the process {server_timeout} s after the signal "
        "(server_timeout): drain (20) + 0.5 + app_shutdown (1) make 21.5 s; set its timeout to at least 22 s"
    )


@pytest.mark.parametrize("server_timeout", [None, 21.5, 30])
def test_a_server_that_waits_long_enough_is_none(server_timeout: float | None) -> None:
    assert Deployment(pre_stop=5, server_timeout=server_timeout).problems(Policy()) == []


@pytest.mark.parametrize(
    ("retry", "mend"), [((1000, 3000), (1000, 6000)), (None, (1000, 6000)), ((5000, 9999), (5000, 10_000))]
)
def test_clients_that_come_back_all_at_once_are_told_apart(retry: Any, mend: tuple[int, int]) -> None:
    deployment = Deployment(pre_stop=5, streams=5000)
    span = 0 if retry is None else retry[1] - retry[0]
    assert only(deployment, Policy(retry=retry)) == (
        f"5000 clients come back within {span} ms (retry is {retry}), and 1000 a second are welcome "
        f"(streams_per_second); set retry to {mend}"
    )
    assert deployment.problems(Policy(retry=mend)) == []


def test_every_problem_is_named() -> None:
    deployment = Deployment(grace_period=10, server_timeout=3, streams=5000)
    assert len(deployment.problems(Policy())) == 4


@given(DEPLOYMENTS, POLICIES)
def test_the_mend_that_is_named_mends_it(deployment: Deployment, policy: Policy) -> None:
    for problem in deployment.problems(policy):
        if numbers := re.search(r"set retry to \((\d+), (\d+)\)", problem):
            least, most = numbers.groups()
            policy = dataclasses.replace(policy, retry=(int(least), int(most)))
        if seconds := re.search(r"set its timeout to at least (\d+) s", problem):
            deployment = dataclasses.replace(deployment, server_timeout=int(seconds[1]))
        if re.search(r"let preStop sleep", problem):
            deployment = dataclasses.replace(deployment, pre_stop=deployment.endpoint_lag)
    for problem in deployment.problems(policy):  # a longer preStop needs a longer grace period
        (seconds,) = re.findall(r"make it at least (\d+) s", problem)
        deployment = dataclasses.replace(deployment, grace_period=int(seconds))
    assert deployment.problems(policy) == []


@given(DEPLOYMENTS, POLICIES)
def test_where_nothing_is_said_nothing_is_cut(deployment: Deployment, policy: Policy) -> None:
    if deployment.problems(policy):
        return
    signal = deployment.pre_stop
    over = signal + policy.drain + LEEWAY
    assert over <= over + deployment.app_shutdown <= deployment.grace_period + 1e-9
    assert deployment.server_timeout is None or over - signal <= deployment.server_timeout
    assert deployment.endpoint_lag <= signal
