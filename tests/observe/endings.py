"""Endings as a stream would leave them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from endwell import Cause, Ending, Outcome, SourceEnd


def an_ending(**changes: Any) -> Ending:
    values: dict[str, Any] = {
        "id": "s1",
        "route": "/chat/{room}",
        "owner": None,
        "key": None,
        "outcome": Outcome.CLIENT_GONE,
        "cause": Cause.DISCONNECT,
        "reason": None,
        "started": datetime(2026, 11, 23, 9, 0, tzinfo=UTC),
        "duration": 1.5,
        "time_to_first_chunk": 0.25,
        "chunks": 42,
        "bytes": 4200,
        "heartbeats": 0,
        "discarded": 0,
        "source": SourceEnd.CANCELLED,
        "on_leave": "cancel",
        "error": None,
        "reference": None,
        "cleanup": 0.001,
        "overdue": False,
        "cleanup_errors": (),
    }
    return Ending(**{**values, **changes})


def failed(error: BaseException, **changes: Any) -> Ending:
    values = {"outcome": Outcome.FAILED, "cause": Cause.SOURCE_RAISED, "reference": "c0ffee", **changes}
    return an_ending(error=error, **values)


def raised(error: BaseException) -> BaseException:
    """The error with a traceback, as if it had been raised by a source."""
    try:
        raise error
    except BaseException as caught:
        return caught
