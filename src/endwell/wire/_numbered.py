"""Server-sent events with ids: a reconnect tells how far its stream had come, and whether it was over."""

from __future__ import annotations

import re

from endwell.wire._sse import SSE, Event

__all__ = ["Numbered", "marks_the_end"]

_END = re.compile(r"[0-9a-f]{24}-end")


class Numbered:
    """The events of one stream. Unlike a format it counts, so each stream has its own.

    Args:
        token: The stream's id: 24 hexadecimal digits.
        retry: The reconnection time in ms that is joined to the first event; None for none.
    """

    __slots__ = ("_count", "_id", "_retry", "_token")

    _events = SSE()

    def __init__(self, token: str, retry: int | None) -> None:
        self._token = token
        self._id = f"id: {token}-".encode()
        self._retry = retry
        self._count = 0

    def encode(self, chunk: object) -> bytes:
        """One event, with the id `token-1`, `token-2`, … unless it has one of its own.

        Raises:
            ChunkError: see `SSE.encode`.
            ChunkTypeError: see `SSE.encode`.
        """
        frame = self._events.encode(chunk)
        self._count += 1
        if self._count == 1:
            return SSE.with_id(frame, f"{self._token}-1", self._retry)
        return b"%b%d\n%b" % (self._id, self._count, frame)

    @property
    def end_id(self) -> str:
        """The id after which there is nothing to come back for."""
        return f"{self._token}-end"

    def end(self) -> bytes:
        """The last event of a completed stream, named `end`: a browser hands it to listeners of that only."""
        return self._events.encode(Event({"chunks": self._count}, event="end", id=self.end_id))


def marks_the_end(last_event_id: str) -> bool:
    """Whether a client that sends this as its `Last-Event-ID` has seen the end of its stream."""
    return _END.fullmatch(last_event_id) is not None
