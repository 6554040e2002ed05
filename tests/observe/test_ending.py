"""An ending is a record: whole, frozen, and the same for everybody."""

from __future__ import annotations

import dataclasses
import inspect
import re

import pytest

from endwell import Ending
from tests.observe.endings import an_ending


def test_an_ending_is_frozen() -> None:
    ending = an_ending()
    with pytest.raises(dataclasses.FrozenInstanceError):
        ending.chunks = 43  # type: ignore[misc]


def test_endings_with_the_same_facts_are_equal() -> None:
    assert an_ending() == an_ending()
    assert an_ending() != an_ending(chunks=43)


def test_every_fact_is_documented_and_none_has_a_default() -> None:
    fields = dataclasses.fields(Ending)
    described = re.findall(r"^    (\w+): ", inspect.getdoc(Ending) or "", re.MULTILINE)
    assert described == [field.name for field in fields]
    assert all(field.kw_only and field.default is dataclasses.MISSING for field in fields)
