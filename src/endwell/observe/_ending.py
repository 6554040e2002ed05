"""What everybody learns about a stream that is over: one frozen record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from endwell.lifecycle import Cause, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How one stream ended. There is exactly one for each admitted stream, made when its cleanup is over.

    Attributes:
        id: The stream's id.
        route: The route's template such as `/chat/{room}`, without the path that it is mounted at; the
            endpoint's name where there is no template; never the raw path.
        outcome: How it ended.
        cause: What ended it; the first thing that did.
        reason: What the caller of `stop` said, or None.
        started: When the stream was admitted, in UTC.
        duration: Seconds from there until the cause, cleanup not included.
        time_to_first_chunk: Seconds until the source gave its first chunk; None if it never did.
        chunks: Chunks that the server took. What a leaving client left in the buffer is not counted.
        bytes: Bytes of body that the server took, heartbeats and terminal frame included.
        heartbeats: Heartbeats among them.
        error: What the source (or `send`) raised; only for `failed`.
        reference: A short random reference that stands both in the log and in the client's error frame.
        cleanup: Seconds from the cause until the cleanup was over, or was given up.
        overdue: Whether the cleanup was given up at its deadline.
        cleanup_errors: What the cleanup raised. It never changes the outcome.
    """

    id: str
    route: str
    outcome: Outcome
    cause: Cause
    reason: str | None
    started: datetime
    duration: float
    time_to_first_chunk: float | None
    chunks: int
    bytes: int
    heartbeats: int
    error: BaseException | None
    reference: str | None
    cleanup: float
    overdue: bool
    cleanup_errors: tuple[BaseException, ...]
