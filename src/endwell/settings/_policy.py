"""How long a stream, and each part of it, may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from endwell.errors import ConfigurationError
from endwell.settings._checks import Options, check_count, check_duration, check_span

MAX_RETRY = 2_147_483_647
"""Largest reconnection time in ms: browsers wait with setTimeout, which holds a signed 32-bit number."""


@dataclass(frozen=True, slots=True)
class Grace:
    """When the client leaves, the source may go on for some seconds; then it is cancelled.

    Args:
        seconds: How long.

    Raises:
        ConfigurationError: It is no finite number above 0.
    """

    seconds: float

    def __post_init__(self) -> None:
        check_duration("Grace's seconds", self.seconds)


@dataclass(frozen=True, slots=True)
class Finish:
    """When the client leaves, the source runs to its end, as what it does is worth it to others.

    Args:
        seconds: The longest that this may take; then it is cancelled after all. Default 600.

    Raises:
        ConfigurationError: It is no finite number above 0.
    """

    seconds: float = 600.0

    def __post_init__(self) -> None:
        check_duration("Finish's seconds", self.seconds)


OnLeave: TypeAlias = Literal["cancel", "finish"] | Grace | Finish
"""What becomes of the source when its client leaves. "finish" is `Finish()`."""


MinRate: TypeAlias = tuple[int, float]
"""So many bytes in so many seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy(Options):
    """How long a stream, and each part of it, may take.

    Durations of a second or more are kept to within a 64th of a second, shorter ones to the millisecond.

    Args:
        heartbeat: Seconds without a byte written after which a heartbeat goes out; None sends none. Default
            15: below the shortest idle limit on the way (Azure's and Heroku's 55 s, API Gateway's 30 s at the
            edge).
        hold: Seconds the status line is held back while waiting for the first chunk, so that an early
            failure is a real HTTP error; 0 sends it at once, None waits for the source. Default 5.
        first_chunk: Seconds until the first chunk; None (default) for no limit.
        between_chunks: Seconds from one chunk to the next; None (default) for no limit. Time in which the
            *client* holds the stream up does not count.
        send: Seconds in which a client that is being written to must take something; None for no limit.
            Default 30. One that is slow but takes something in every such time is kept: on Linux what it
            acknowledges is counted. Where that cannot be known, a single write must be over in that time.
        min_rate: Bytes that the client must take in each so many seconds while there is always something to
            write to it: `(1024, 60)`. None (default) for no such limit. Linux only.
        max_buffer: Bytes that may wait for a client that is behind, on top of what the server holds, before
            the source is asked for no more. Default 262,144. One chunk may exceed it.
        linger: Seconds for which chunks are gathered, so that a source that gives one at a time costs fewer
            sends; None (default) sends whenever the source waits. The first chunk goes out at once. With
            0.002, a fast model's tokens come two or three at a time, which nobody sees.
        total: Seconds for the whole stream, or a pair from which each stream's is drawn, so that streams that
            began together do not end together; None (default) for no limit.
        on_leave: What becomes of the source when its client leaves: "cancel" (default); "finish" or
            `Finish(seconds)`, and it runs to its end; `Grace(seconds)`, and it is cancelled after these. What
            it gives meanwhile is discarded, and counted. `Streams` bounds how many go on at once; a response
            without one does not.
        cleanup: Seconds the source's own cleanup may take after the end; then it is reported and let go.
            Default 15.
        drain: Seconds a draining process gives its streams; 0 ends them at once. Default 20, below the 30 s
            of Kubernetes' default grace period.
        retry: Range in ms from which a farewell draws the reconnection time it names, so that a fleet's
            clients do not come back at once; None names none. Default (1000, 3000).
        soft_refusal: Answer an EventSource that would get a 503 with 200, a `retry` and the end, so that it
            comes back: an error status would stop it for good. Default False.
        allow_fast_heartbeat: Permit a heartbeat under 1 s.

    Raises:
        ConfigurationError: A value is out of its bounds; the message names the field, the value, the bound.
        TypeError: An unknown option; the message names the nearest one.
    """

    heartbeat: float | None = 15.0
    hold: float | None = 5.0
    first_chunk: float | None = None
    between_chunks: float | None = None
    send: float | None = 30.0
    min_rate: MinRate | None = None
    max_buffer: int = 262_144
    linger: float | None = None
    total: float | tuple[float, float] | None = None
    on_leave: OnLeave = "cancel"
    cleanup: float = 15.0
    drain: float = 20.0
    retry: tuple[int, int] | None = (1000, 3000)
    soft_refusal: bool = False
    allow_fast_heartbeat: bool = False

    def __post_init__(self) -> None:
        for name in ("heartbeat", "first_chunk", "between_chunks", "send", "linger"):
            check_duration(name, getattr(self, name), optional=True)
        _check_total(self.total)
        _check_rate(self.min_rate)
        check_count("max_buffer", self.max_buffer, " of bytes")
        check_duration("hold", self.hold, optional=True, zero=True)
        check_duration("cleanup", self.cleanup)
        check_duration("drain", self.drain, zero=True)
        check_span("retry", self.retry, unit="milliseconds", least=0, most=MAX_RETRY, optional=True)
        for name in ("soft_refusal", "allow_fast_heartbeat"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(f"{name} must be True or False, got {getattr(self, name)!r}")
        object.__setattr__(self, "on_leave", _on_leave(self.on_leave))
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


def _check_total(value: Any) -> None:
    if not isinstance(value, tuple):
        check_duration("total", value, optional=True)
        return
    if len(value) != 2:  # noqa: PLR2004
        raise ConfigurationError(f"total must be seconds, or a pair (least, most) of them; got {value!r}")
    for part in value:
        check_duration("each of total's pair", part)
    if value[0] > value[1]:
        raise ConfigurationError(f"total must be (least, most), got {value!r}")


def _check_rate(value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, tuple) or len(value) != 2:  # noqa: PLR2004
        raise ConfigurationError(f"min_rate must be a pair (bytes, seconds), or None; got {value!r}")
    check_count("min_rate's first", value[0], " of bytes")
    check_duration("min_rate's second", value[1])


def _on_leave(value: Any) -> OnLeave:
    if value == "finish":
        return Finish()
    if value == "cancel" or isinstance(value, Grace | Finish):
        return value  # type: ignore[no-any-return]
    raise ConfigurationError(
        f'on_leave must be "cancel", "finish", Grace(seconds) or Finish(seconds), got {value!r}'
    )
