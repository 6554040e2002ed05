"""What a client is told of an ending: fixed codes and texts, never an exception's own words.

The one exception is a `ClientError`, which a source raises so that the client reads it.
"""

from __future__ import annotations

from typing import NamedTuple

from endwell.errors import ClientError
from endwell.lifecycle import Cause
from endwell.observe import logger
from endwell.wire import Dialect, Generic, Told, body_bytes, frame_bytes


class Words(NamedTuple):
    """What is said for one cause: in the terminal frame, or with an HTTP status if none is out yet."""

    status: int
    code: str
    message: str


_FAILED = Words(500, "internal_error", "The stream failed.")
_WORDS = {
    Cause.STOP: Words(503, "stopped", "The stream was stopped."),
    Cause.SERVER_CANCELLED: Words(503, "stopped", "The stream was stopped."),
    Cause.DRAIN: Words(503, "drained", "The server is going away; please come back."),
    Cause.DRAINING: Words(503, "drained", "The server is going away; please come back."),
    Cause.OVER_TOTAL: Words(503, "too_many_streams", "There are too many streams; please come back."),
    Cause.OVER_KEY: Words(429, "too_many_of_yours", "You have too many streams open; close one."),
    Cause.MEMORY: Words(503, "overloaded", "The server is short of memory; please come back."),
    Cause.FIRST_CHUNK: Words(504, "first_chunk_timeout", "Nothing came in time."),
    Cause.BETWEEN_CHUNKS: Words(504, "between_chunks_timeout", "Nothing more came in time."),
    Cause.TOTAL: Words(504, "total_timeout", "The stream reached its longest duration."),
}
_PLAIN = Generic()


def words_for(cause: Cause | None, error: BaseException | None = None) -> Words:
    """The words for a cause; those of a failure where there are no others."""
    if isinstance(error, ClientError):
        return Words(error.status, error.code, error.message)
    return _WORDS.get(cause, _FAILED) if cause is not None else _FAILED


def terminal_frame(dialect: Dialect | None, told: Told) -> bytes | None:
    """The last frame of a body; None if there are no words for it, so that it has to be cut."""
    if dialect is None:
        return None
    try:
        return frame_bytes(dialect, told)
    except Exception:  # noqa: BLE001 - it may be anybody's
        logger.exception("dialect %r failed, so the body is cut (ref %s)", dialect.name, told.ref)
        return None


def refusal(dialect: Dialect | None, told: Told) -> bytes:
    """The JSON body of an HTTP error in the place of a stream."""
    try:
        return body_bytes(dialect or _PLAIN, told)
    except Exception:  # noqa: BLE001 - as above
        logger.exception("dialect %r failed, so the generic one speaks (ref %s)", dialect, told.ref)
        return body_bytes(_PLAIN, told)
