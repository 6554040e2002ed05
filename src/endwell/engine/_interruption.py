"""A request's task that is hit while its stream runs: by its server, or by a middleware."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from endwell.engine._tasks import wait_out
from endwell.lifecycle import Cause

if TYPE_CHECKING:
    from endwell.engine._connection import Connection
    from endwell.engine._stream import Stream


async def see_through(stream: Stream, error: BaseException, connection: Connection) -> BaseException | None:
    """See a stream to its end all the same.

    Args:
        stream: The stream.
        error: What has hit the task.
        connection: To its client.

    Returns:
        A cancellation that came meanwhile.
    """
    hit = await wait_out(asyncio.create_task(_end(stream, error, connection)))
    # That task may have been cancelled as well, as asyncio.run does with all there are.
    if stream.machine.outcome is None:
        stream.end(Cause.SERVER_CANCELLED)
    stream.writer.abandon()
    return await wait_out(stream.work.over.future()) or hit


async def _end(stream: Stream, error: BaseException, connection: Connection) -> None:
    """Name the cause, then say goodbye if anybody is there."""
    if not isinstance(error, asyncio.CancelledError):
        stream.end(Cause.SEND_CRASHED, error=error)
        return
    # A middleware may cancel us *because* the client left, before we are told: let the message come.
    for _ in range(3):
        await asyncio.sleep(0)
    stream.end(Cause.DISCONNECT if stream.is_gone else Cause.SERVER_CANCELLED)
    stream.writer.begin(connection)
    try:
        while (due := stream.writer.next()) is not None:
            await due
    finally:
        stream.writer.stand_back()
