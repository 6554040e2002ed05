"""How many streams there may be at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from endwell.errors import ConfigurationError
from endwell.settings._checks import Options, check_duration, check_span, is_whole

MAX_RETRY_AFTER = 86_400
"""Longest Retry-After in s, a day: who is sent away for longer is not expected back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(Options):
    """How many streams may be open at once in this process; who is over a limit is refused.

    A stream is refused before its source starts. Its outcome is `rejected`. `Limits()` limits nothing.

    Args:
        total: Streams at once; over it 503. None (default) for no limit.
        per_key: Streams at once with the same key; over it 429, at once. None (default) for no limit.
        key: What streams are counted by under `per_key`: a callable, sync or async, that is given the request
            and returns something hashable, or None for a request that is not counted. By default the
            address that the connection comes from: behind a proxy, give a `ClientAddress` that trusts it.
        queue: How many may wait for a place under `total`, first come, first served. Those who wait count for
            `per_key` too, so that one client cannot fill the queue. None (default): nobody waits.
        wait: Seconds that they may wait; then 503. Default 5.
        retry_after: Range of whole seconds from which a refusal's `Retry-After` is drawn, so that those who
            were refused together do not come back together: from 1 to 86,400. Default (1, 5).
        memory: Share of the memory this process may use, above which new streams are refused with 503,
            before the kernel kills the process for it: 0.9. The limits of its control groups (containers)
            count, and the machine's memory. None (default) does not look. Linux only.

    Raises:
        ConfigurationError: A value is out of its bounds; the message names the field, the value, the bound.
        TypeError: An unknown option; the message names the nearest one.
    """

    total: int | None = None
    per_key: int | None = None
    key: Callable[[Any], object] | None = None
    queue: int | None = None
    wait: float = 5.0
    retry_after: tuple[int, int] = (1, 5)
    memory: float | None = None

    def __post_init__(self) -> None:
        for name in ("total", "per_key", "queue"):
            _check_limit(name, getattr(self, name))
        check_duration("wait", self.wait)
        check_span("retry_after", self.retry_after, unit="seconds", least=1, most=MAX_RETRY_AFTER)
        _check_share("memory", self.memory)
        if self.key is not None and not callable(self.key):
            raise ConfigurationError(f"key must be a callable of the request, or None; got {self.key!r}")
        self._check_pairs()

    def _check_pairs(self) -> None:
        if self.total is not None and self.per_key is not None and self.per_key > self.total:
            raise ConfigurationError(f"per_key must be at most total ({self.total!r}), got {self.per_key!r}")
        if self.queue is not None and self.total is None:
            raise ConfigurationError(f"queue needs a total, whose places it waits for; got {self.queue!r}")
        if self.key is not None and self.per_key is None:
            raise ConfigurationError(f"key needs a per_key, which counts by it; got {self.key!r}")


def _check_limit(name: str, value: Any) -> None:
    if value is not None and not is_whole(value, 1):
        raise ConfigurationError(f"{name} must be a whole number, at least 1, or None; got {value!r}")


def _check_share(name: str, value: Any) -> None:
    if value is None:
        return
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 < value <= 1:
        raise ConfigurationError(f"{name} must be a share, more than 0, at most 1, or None; got {value!r}")
