"""Checks that several settings share: each names the field, the value and the bound."""

from __future__ import annotations

import difflib
import math
import sys
from collections.abc import Collection
from typing import Any, Self, TypeGuard

from endwell.errors import ConfigurationError


class Options:
    """What the frozen objects of options have in common: an unknown one is told with the nearest there is."""

    __slots__ = ()

    def __new__(cls, **options: Any) -> Self:
        """Everything else is the dataclass's own affair."""
        for name in options:
            check_known(name, cls.__dataclass_fields__, cls.__name__)  # type: ignore[attr-defined]
        return object.__new__(cls)


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


def check_span(name: str, value: Any, *, unit: str, least: int, most: int, optional: bool = False) -> None:
    """Raise ConfigurationError for what is no pair (least, most) of whole numbers of a unit within bounds."""
    if value is None and optional:
        return
    unset = ", or None" if optional else ""
    is_pair = isinstance(value, tuple) and len(value) == 2  # noqa: PLR2004
    if not is_pair or not all(is_whole(part, least, most) for part in value):
        raise ConfigurationError(
            f"{name} must be a pair of whole {unit} from {least} to {most}{unset}; got {value!r}"
        )
    if value[0] > value[1]:
        raise ConfigurationError(f"{name} must be (least, most), got {value!r}")


def is_whole(value: Any, least: int, most: float = math.inf) -> TypeGuard[int]:
    """Whether it is a whole number within bounds; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
