"""What a client is told of an ending: fixed codes and texts, never an exception's own words."""

from __future__ import annotations

from ..lifecycle import Cause, Outcome

_CODES = {
    Outcome.FAILED: ("internal_error", "The stream failed."),
    Outcome.STOPPED: ("stopped", "The stream was stopped."),
    Outcome.DRAINED: ("drained", "The server is going away; please come back."),
}
_TIMEOUTS = {
    Cause.FIRST_CHUNK: ("first_chunk_timeout", "Nothing came in time."),
    Cause.BETWEEN_CHUNKS: ("between_chunks_timeout", "Nothing more came in time."),
    Cause.TOTAL: ("total_timeout", "The stream reached its longest duration."),
}
_STATUS = {Outcome.TIMED_OUT: 504, Outcome.FAILED: 500}


def message_for(outcome: Outcome, cause: Cause) -> tuple[str, str]:
    """The code and the text for an ending that the client can still be told of."""
    return _TIMEOUTS.get(cause) or _CODES[outcome]


def status_for(outcome: Outcome) -> int:
    """The HTTP status while none is out: 504 for a deadline, 503 for what another server may do."""
    return _STATUS.get(outcome, 503)
