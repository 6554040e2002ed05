"""A stream that is over, as its record."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from endwell.lifecycle import Outcome
from endwell.observe import Ending

if TYPE_CHECKING:
    from endwell.engine._stream import Stream


def ending_of(stream: Stream) -> Ending:
    """The record of its ending."""
    machine, writer, work = stream.machine, stream.writer, stream.work
    assert machine.cause is not None
    assert machine.outcome is not None
    assert machine.decided_at is not None
    assert machine.closing_since is not None
    first = machine.first_chunk_at
    return Ending(
        id=stream.id,
        route=stream.route,
        owner=stream.owner,
        key=stream.key,
        outcome=machine.outcome,
        cause=machine.cause,
        reason=stream.reason,
        started=datetime.fromtimestamp(stream.began, UTC),
        duration=machine.decided_at - machine.started_at,
        time_to_first_chunk=None if first is None else first - machine.started_at,
        chunks=writer.chunks,
        bytes=writer.bytes,
        heartbeats=writer.heartbeats,
        discarded=writer.discarded + len(writer.frames),
        source=work.source_end(),
        on_leave=machine.on_leave if machine.outcome is Outcome.CLIENT_GONE else None,
        error=stream.error,
        reference=stream.reference,
        cleanup=max(0.0, work.over_at - machine.closing_since),
        overdue=work.overdue,
        cleanup_errors=tuple(work.errors),
    )
