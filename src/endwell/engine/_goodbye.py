"""What is said to the client when the outcome stands, if anything can be."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from endwell.errors import ClientError
from endwell.lifecycle import Farewell
from endwell.observe import logger
from endwell.wire import Told

if TYPE_CHECKING:
    from endwell.engine._stream import Stream

_NOTHING = Farewell.NOTHING


def say_goodbye(stream: Stream) -> None:
    """Tell the client how the stream ended, as far as it is there and can be told; never raises."""
    try:
        _say_what_can_be_said(stream)
    except Exception:  # noqa: BLE001 - such as a ClientError's own properties: the cleanup is not to suffer
        logger.exception("the farewell of stream %s failed", stream.id)
        if stream.machine.committed:
            stream.writer.cut()
        else:
            stream.writer.abandon()


def hang_up(stream: Stream) -> None:
    """Write nothing more. What the client does not take would hold its socket, and a shutdown."""
    if not stream.writer.wants_out:
        return
    is_stuck = stream.writer.is_sending or stream.machine.behind_since is not None
    stream.writer.abandon()
    if is_stuck:
        stream.writer.connection.abort()


def _say_what_can_be_said(stream: Stream) -> None:
    farewell = stream.machine.farewell
    if farewell is _NOTHING:
        hang_up(stream)
    elif farewell is Farewell.STATUS:
        _refuse(stream)
    elif farewell is Farewell.FRAME:
        _say(stream)


def _refuse(stream: Stream) -> None:
    """Nothing is out yet: answer with an HTTP error; to an exception, the framework's own handlers do."""
    told = _told(stream)
    if stream.error is not None and not isinstance(stream.error, ClientError):
        stream.writer.abandon()
    else:
        stream.writer.refuse(stream.voice.refuse(told, stream.machine.cause))


def _say(stream: Stream) -> None:
    """Tell a client in mid-stream how it ended, or cut the body where the format cannot say it."""
    if stream.writer.ending:
        return  # the regular end is with the server already
    frame = stream.voice.frame(_told(stream), stream.writer.tail())
    if frame is None:
        stream.writer.cut()
    else:
        stream.writer.finish(frame)


def _told(stream: Stream) -> Told:
    writer = stream.writer
    stream.reference = secrets.token_hex(6)
    chunks = writer.chunks + writer.chunks_in_flight + len(writer.frames)
    return stream.voice.told(stream.machine.cause, stream.error, reference=stream.reference, chunks=chunks)
