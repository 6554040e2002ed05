"""A stream that is never admitted: what its client is told, and the record of it."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from endwell.engine._ids import new_id
from endwell.engine._voice import Refusal, Voice
from endwell.lifecycle import OUTCOMES, Cause
from endwell.observe import Ending, SourceEnd


class Rejection(NamedTuple):
    """What comes of a stream that was not admitted.

    Attributes:
        refusal: The answer to its client.
        ending: The record.
    """

    refusal: Refusal
    ending: Ending


def reject(
    cause: Cause,
    voice: Voice,
    *,
    route: str,
    key: object,
    waited: float,
    span: tuple[int, int] | None,
) -> Rejection:
    """Work out the answer, and the record.

    Args:
        cause: Why it was not admitted; or that its client left while it waited.
        voice: How its client is spoken to.
        route: The route's template.
        key: What its limit counts by.
        waited: Seconds that it waited in vain.
        span: Range of seconds from which to draw when to come back; None for the policy's `retry`.
    """
    reference = secrets.token_hex(6)
    told = voice.told(cause, None, reference=reference, chunks=0)
    ending = Ending(
        id=new_id(),
        route=route,
        owner=None,
        key=key,
        outcome=OUTCOMES[cause],
        cause=cause,
        reason=None,
        started=datetime.now(UTC) - timedelta(seconds=waited),
        duration=waited,
        time_to_first_chunk=None,
        chunks=0,
        bytes=0,
        heartbeats=0,
        discarded=0,
        source=SourceEnd.NEVER_STARTED,
        on_leave=None,
        error=None,
        reference=None if cause is Cause.DISCONNECT else reference,
        cleanup=0.0,
        overdue=False,
        cleanup_errors=(),
    )
    return Rejection(voice.refuse(told, cause, span=span), ending)
