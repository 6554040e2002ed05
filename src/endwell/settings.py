"""One frozen object says how long each part of a stream may take.

All durations are seconds (int or float). `None` switches a limit off where that makes sense. Everything is
checked when a `Policy` is built, so that a wrong value fails at import, not in the middle of a stream.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any, Self

from endwell.errors import ConfigurationError

__all__ = ["MAX_RETRY", "Policy", "check_known"]

MAX_RETRY = 2_147_483_647
"""Largest reconnection time in ms: browsers wait with setTimeout, which holds a signed 32-bit number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How long a stream, and each part of it, may take.

    Args:
        heartbeat: Seconds without a byte written after which a heartbeat goes out; None sends none. Default
            15:
            below the shortest idle limit on the way (Azure's and Heroku's 55 s, API Gateway's 30 s at the
            edge).
        hold: Seconds the status line is held back while waiting for the first chunk, so that an early
            failure is
            a real HTTP error; 0 sends it at once, None waits as long as the source does. Default 5.
        first_chunk: Seconds until the first chunk; None (default) for no limit.
        between_chunks: Seconds from one chunk to the next; None (default) for no limit. Time in which the
            *client* holds the stream up does not count.
        send: Seconds a single write may be blocked by a client that does not read; None for no limit.
            Default 30.
        total: Seconds for the whole stream; None (default) for no limit.
        cleanup: Seconds the source's own cleanup may take after the end; then it is reported and let go.
            Default 15.
        drain: Seconds a draining process gives its streams; 0 ends them at once. Default 20, below the 30 s
            of
            Kubernetes' default grace period.
        retry: Range in ms from which a farewell draws the reconnection time it names, so that a fleet's
            clients
            do not come back at once; None names none. Default (1000, 3000).
        allow_fast_heartbeat: Permit a heartbeat under 1 s.

    Raises:
        ConfigurationError: A value is out of its bounds; the message names the field, the value and the
            bound.
        TypeError: An unknown option; the message names the nearest one.
    """

    heartbeat: float | None = 15.0
    hold: float | None = 5.0
    first_chunk: float | None = None
    between_chunks: float | None = None
    send: float | None = 30.0
    total: float | None = None
    cleanup: float = 15.0
    drain: float = 20.0
    retry: tuple[int, int] | None = (1000, 3000)
    allow_fast_heartbeat: bool = False

    def __new__(cls, **options: Any) -> Self:
        """Name the nearest option when one is unknown; everything else is the dataclass's own affair."""
        for name in options:
            check_known(name, {field.name for field in fields(cls)}, "Policy")
        return object.__new__(cls)

    def __post_init__(self) -> None:
        for name in ("heartbeat", "first_chunk", "between_chunks", "send", "total"):
            _check_duration(name, getattr(self, name), optional=True)
        _check_duration("hold", self.hold, optional=True, zero=True)
        _check_duration("cleanup", self.cleanup)
        _check_duration("drain", self.drain, zero=True)
        _check_retry(self.retry)
        if not isinstance(self.allow_fast_heartbeat, bool):
            raise ConfigurationError(
                f"allow_fast_heartbeat must be True or False, got {self.allow_fast_heartbeat!r}"
            )
        self._check_pairs()

    def _check_pairs(self) -> None:
        beat = self.heartbeat
        if beat is not None and beat < 1 and not self.allow_fast_heartbeat:
            raise ConfigurationError(
                f"heartbeat must be at least 1 s, got {beat!r}; pass allow_fast_heartbeat=True to insist"
            )
        if beat is not None and self.between_chunks is not None and beat >= self.between_chunks:
            raise ConfigurationError(
                f"heartbeat must be shorter than between_chunks ({self.between_chunks!r} s), got {beat!r}; "
                "set both, or heartbeat=None"
            )
        if self.drain and self.cleanup >= self.drain:
            raise ConfigurationError(
                f"cleanup must be shorter than drain ({self.drain!r} s), got {self.cleanup!r}; set both"
            )


def check_known(name: str, known: Collection[str], owner: str) -> None:
    """Raise TypeError for an option that `owner` does not have, naming the nearest it has."""
    if name not in known:
        nearest = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0)[0]
        raise TypeError(f"{owner} has no option {name!r}; did you mean {nearest!r}?")


def _check_duration(name: str, value: Any, *, optional: bool = False, zero: bool = False) -> None:
    if value is None and optional:
        return
    bound = "0 or more" if zero else "more than 0"
    unset = ", or None" if optional else ""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= sys.float_info.max or (value == 0 and not zero):
        raise ConfigurationError(f"{name} must be a finite number of seconds, {bound}{unset}; got {value!r}")


def _check_retry(value: Any) -> None:
    if value is None:
        return
    is_pair = isinstance(value, tuple) and len(value) == 2  # noqa: PLR2004
    if not is_pair or not all(_is_retry(part) for part in value):
        raise ConfigurationError(
            f"retry must be a pair of whole milliseconds from 0 to {MAX_RETRY}, or None; got {value!r}"
        )
    if value[0] > value[1]:
        raise ConfigurationError(f"retry must be (least, most), got {value!r}")


def _is_retry(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_RETRY
