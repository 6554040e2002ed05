"""Checks of what a response, or a decorator of one, is given."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from endwell.errors import ConfigurationError
from endwell.observe import Callback
from endwell.settings import Policy
from endwell.types import is_header_name

_WITH_BODY = frozenset(range(200, 600)) - {204, 205, 304}
_VALUE = re.compile(r"[^\r\n\0\u0100-\U0010ffff]*")


def check_status(status: Any) -> int:
    """Return `status`; raise ConfigurationError if no stream can have it."""
    is_number = isinstance(status, int) and not isinstance(status, bool)
    if not is_number or status not in _WITH_BODY:
        raise ConfigurationError(f"status must be from 200 to 599 and have a body, got {status!r}")
    return int(status)


def check_policy(policy: Any) -> Policy | None:
    """Return `policy`; raise ConfigurationError if it is none."""
    if policy is not None and not isinstance(policy, Policy):
        raise ConfigurationError(f"policy must be a Policy, got {policy!r}")
    return policy


def check_callback(on_end: Any) -> tuple[Callback, ...]:
    """Return `on_end` as a tuple; raise ConfigurationError if it cannot be called."""
    if not callable(on_end):
        raise ConfigurationError(f"on_end must be a function of the Ending, got {on_end!r}")
    return (on_end,)


def check_headers(headers: Any) -> dict[str, str]:
    """Return the headers with their names in lower case; raise ConfigurationError if one cannot be sent."""
    if not isinstance(headers, Mapping):
        raise ConfigurationError(f"headers must be a mapping of names to values, got {headers!r}")
    return {check_header(name, value): value for name, value in headers.items()}


def check_header(name: Any, value: Any) -> str:
    """Return a header's name in lower case; raise ConfigurationError if it or its value cannot be sent."""
    if not is_header_name(name):
        raise ConfigurationError(f"header {name!r} is no header name")
    if not isinstance(value, str) or not _VALUE.fullmatch(value):
        raise ConfigurationError(
            f"header {name!r} must be Latin-1 text without CR, LF and NUL, got {value!r}"
        )
    return name.lower()
