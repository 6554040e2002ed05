"""Checks that several settings share: each names the field, the value and the bound."""

from __future__ import annotations

import difflib
import math
import sys
from collections.abc import Collection
from typing import Any

from endwell.errors import ConfigurationError


def check_known(name: str, known: Collection[str], owner: str) -> None:
    """Raise TypeError for an option that `owner` does not have, naming the nearest it has."""
    if name not in known:
        nearest = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0)[0]
        raise TypeError(f"{owner} has no option {name!r}; did you mean {nearest!r}?")


def check_duration(name: str, value: Any, *, optional: bool = False, zero: bool = False) -> None:
    """Raise ConfigurationError for what is no finite number of seconds above 0, or None or 0 if it may be."""
    if value is None and optional:
        return
    bound = "0 or more" if zero else "more than 0"
    unset = ", or None" if optional else ""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= sys.float_info.max or (value == 0 and not zero):
        raise ConfigurationError(f"{name} must be a finite number of seconds, {bound}{unset}; got {value!r}")


def check_count(name: str, value: Any, of: str = "") -> None:
    """Raise ConfigurationError for what is no whole number above 0; `of` says of what."""
    if not is_whole(value, 1):
        raise ConfigurationError(f"{name} must be a whole number{of}, at least 1; got {value!r}")


def is_whole(value: Any, least: int, most: float = math.inf) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
