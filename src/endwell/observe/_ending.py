"""What everybody learns about a stream that is over: one frozen record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from endwell.lifecycle import Cause, Outcome
from endwell.settings import OnLeave


class SourceEnd(StrEnum):
    """What became of the source, whatever ended the stream."""

    FINISHED = "finished"
    """It ran to its end."""
    RAISED = "raised"
    CANCELLED = "cancelled"
    NEVER_STARTED = "never started"
    OVERDUE = "overdue"
    """It was cancelled, and has not ended yet: its cleanup was given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How one stream ended. There is exactly one for each stream, made when its cleanup is over.

    One that was never admitted (`rejected`, or `client_gone` while it waited) has one as well; its `duration`
    is how long it waited.

    Attributes:
        id: The stream's id.
        route: The route's template such as `/chat/{room}`, without the path that it is mounted at; the
            endpoint's name where there is no template; never the raw path.
        owner: Who may stop it, if that was said.
        key: What a limit counts it by, such as the client's address; None where nothing counts.
        outcome: How it ended.
        cause: What ended it; the first thing that did.
        reason: What the caller of `stop` said, or None.
        started: When the stream was admitted, in UTC.
        duration: Seconds from there until the cause, cleanup not included.
        time_to_first_chunk: Seconds until the source gave its first chunk; None if it never did.
        chunks: Chunks that the server took. What a leaving client left in the buffer is not counted.
        bytes: Bytes of body that the server took, heartbeats and terminal frame included.
        heartbeats: Heartbeats among them.
        discarded: Chunks that the source gave and nobody took.
        source: What became of the source.
        on_leave: For `client_gone`, what the policy said about the source; "cancel" too if more sources were
            running without a client than may. None for any other outcome.
        error: What the source (or `send`) raised; only for `failed`, and for a source that raised when its
            client had left it alone.
        reference: A short random reference that stands both in the log and in the client's error frame.
        cleanup: Seconds from the cause until the cleanup was over, or was given up.
        overdue: Whether the cleanup was given up at its deadline.
        cleanup_errors: What the cleanup raised. It never changes the outcome.
    """

    id: str
    route: str
    owner: object
    key: object
    outcome: Outcome
    cause: Cause
    reason: str | None
    started: datetime
    duration: float
    time_to_first_chunk: float | None
    chunks: int
    bytes: int
    heartbeats: int
    discarded: int
    source: SourceEnd
    on_leave: OnLeave | None
    error: BaseException | None
    reference: str | None
    cleanup: float
    overdue: bool
    cleanup_errors: tuple[BaseException, ...]
