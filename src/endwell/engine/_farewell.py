"""What a client is told of an ending: fixed codes and texts, never an exception's own words."""

from __future__ import annotations

from typing import NamedTuple

from endwell.lifecycle import Cause


class Farewell(NamedTuple):
    """What is said for one cause: in the terminal frame, or with an HTTP status if none is out yet."""

    status: int
    code: str
    message: str


_FAILED = Farewell(500, "internal_error", "The stream failed.")
_FAREWELLS = {
    Cause.STOP: Farewell(503, "stopped", "The stream was stopped."),
    Cause.SERVER_CANCELLED: Farewell(503, "stopped", "The stream was stopped."),
    Cause.DRAIN: Farewell(503, "drained", "The server is going away; please come back."),
    Cause.FIRST_CHUNK: Farewell(504, "first_chunk_timeout", "Nothing came in time."),
    Cause.BETWEEN_CHUNKS: Farewell(504, "between_chunks_timeout", "Nothing more came in time."),
    Cause.TOTAL: Farewell(504, "total_timeout", "The stream reached its longest duration."),
}


def farewell_for(cause: Cause | None) -> Farewell:
    """The words for a cause; those of a failure where there are no others."""
    return _FAREWELLS.get(cause, _FAILED) if cause is not None else _FAILED
