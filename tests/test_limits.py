"""A limit that is none is an error where it is made, which names the field, the value and the bound."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import math
import pickle
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell import ConfigurationError
from endwell.settings._limits import MAX_RETRY_AFTER, Limits

FIELDS = {field.name: field.default for field in dataclasses.fields(Limits)}
COUNTS = ["total", "per_key", "queue"]


def made(options: dict[str, Any]) -> Limits:
    return Limits(**options)


def message(options: dict[str, Any]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        made(options)
    return str(caught.value)


def by_user(request: Any) -> str:
    return str(request.user)


# -- each by itself ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", COUNTS)
@pytest.mark.parametrize("value", [0, -1, 1.5, 1.0, True, False, "5", math.inf, math.nan, (5,)], ids=repr)
def test_a_limit_is_a_whole_number_from_one_on(field: str, value: object) -> None:
    assert message({field: value}) == f"{field} must be a whole number, at least 1, or None; got {value!r}"


@pytest.mark.parametrize("value", [0, -1, True, "5", None, math.inf, math.nan], ids=repr)
def test_waiting_takes_seconds(value: object) -> None:
    assert message({"wait": value}) == (
        f"wait must be a finite number of seconds, more than 0; got {value!r}"
    )


@pytest.mark.parametrize("value", [0, -0.1, 1.001, 90, True, False, "0.9", math.nan, math.inf], ids=repr)
def test_memory_is_a_share(value: object) -> None:
    assert message({"memory": value}) == (
        f"memory must be a share, more than 0, at most 1, or None; got {value!r}"
    )


@pytest.mark.parametrize("value", [1, 1.0, 0.9, 1e-9])
def test_both_ends_of_a_share_are_allowed(value: float) -> None:
    assert Limits(memory=value).memory == value


@pytest.mark.parametrize(
    "part", [0, -1, True, 1.5, 10**30, MAX_RETRY_AFTER + 1, "1", None, math.nan], ids=repr
)
@pytest.mark.parametrize("place", [0, 1])
def test_when_to_come_back_is_told_in_whole_seconds(part: Any, place: int) -> None:
    retry_after: list[Any] = [1, MAX_RETRY_AFTER]
    retry_after[place] = part
    assert message({"retry_after": tuple(retry_after)}) == (
        f"retry_after must be a pair of whole seconds from 1 to 86400; got {tuple(retry_after)!r}"
    )


@pytest.mark.parametrize("value", [5, None, (), (1,), (1, 2, 3), [1, 2], "12", {1, 2}], ids=repr)
def test_when_to_come_back_is_a_pair(value: Any) -> None:
    assert "retry_after must be a pair of whole seconds" in message({"retry_after": value})


def test_the_least_comes_first() -> None:
    assert message({"retry_after": (2, 1)}) == "retry_after must be (least, most), got (2, 1)"
    assert Limits(retry_after=(2, 2)).retry_after == (2, 2)


@pytest.mark.parametrize("key", ["address", 5, True, ("user",)], ids=repr)
def test_a_key_can_be_called(key: Any) -> None:
    expected = f"key must be a callable of the request, or None; got {key!r}"
    assert message({"per_key": 5, "key": key}) == expected


@given(st.sampled_from(list(FIELDS)), st.floats() | st.integers(-(10**300), 10**300) | st.text() | st.none())
def test_any_value_is_taken_as_it_is_or_refused_by_name(field: str, value: Any) -> None:
    limits, complaint = None, ""
    try:
        limits = made({field: value})
    except ConfigurationError as error:
        complaint = str(error)
    if limits is None:
        assert field in complaint
        assert repr(value) in complaint
    else:
        assert getattr(limits, field) is value


# -- limits that depend on each other ------------------------------------------------------------------------


def test_nobody_may_have_more_than_there_are() -> None:
    assert message({"total": 5, "per_key": 6}) == "per_key must be at most total (5), got 6"
    assert Limits(total=5, per_key=5).per_key == 5
    assert Limits(per_key=6).total is None


def test_a_queue_waits_for_the_places_of_a_total() -> None:
    assert message({"queue": 5}) == "queue needs a total, whose places it waits for; got 5"
    assert message({"queue": 5, "per_key": 5}).startswith("queue needs a total")
    assert Limits(total=5, queue=500).queue == 500


def test_a_key_is_for_something() -> None:
    assert message({"key": by_user}).startswith("key needs a per_key, which counts by it; got <function")
    assert message({"key": by_user, "total": 5}).startswith("key needs a per_key")
    assert Limits(key=by_user, per_key=5).key is by_user


# -- options -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("totl", "total"),
        ("per_client", "per_key"),
        ("keys", "key"),
        ("que", "queue"),
        ("retry", "retry_after"),
        ("mem", "memory"),
    ],
)
def test_an_unknown_option_is_answered_with_the_nearest_name(wrong: str, right: str) -> None:
    expected = f"Limits has no option {wrong!r}; did you mean {right!r}?"
    with pytest.raises(TypeError, match=re.escape(expected)):
        made({wrong: 5})


def test_options_have_names() -> None:
    with pytest.raises(TypeError, match="positional"):
        Limits(5)  # type: ignore[call-arg]


def test_the_defaults_are_those_of_the_documentation() -> None:
    assert FIELDS == {
        "total": None,
        "per_key": None,
        "key": None,
        "queue": None,
        "wait": 5.0,
        "retry_after": (1, 5),
        "memory": None,
    }


def test_every_option_is_documented_in_order() -> None:
    arguments, _, _ = (inspect.getdoc(Limits) or "").partition("\nRaises:\n")
    assert re.findall(r"^    (\w+): ", arguments, re.MULTILINE) == list(FIELDS)


# -- limits are a value --------------------------------------------------------------------------------------


def test_limits_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Limits().total = 5  # type: ignore[misc]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_copy_is_equal(copied: Any) -> None:
    limits = Limits(total=60, per_key=5, key=by_user)
    assert copied(limits) == limits
    assert hash(copied(limits)) == hash(limits)


def test_replacing_is_held_to_the_same_bounds() -> None:
    with pytest.raises(ConfigurationError, match="per_key must be at most total"):
        dataclasses.replace(Limits(total=5, per_key=5), total=4)
