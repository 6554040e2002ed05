"""Frames that wait to go out together."""

from __future__ import annotations

import asyncio

CORK = 64 * 1024
"""Bytes that go out together at most: what uvicorn's own buffer takes before it blocks."""


class Cork:
    """What one stream has to send, and has not sent.

    Args:
        limit: Bytes from which on the source waits for the client.
        keeps_tail: Bytes come ready-made and may end within a frame, so that the last have to be known.

    Attributes:
        frames: What waits to be sent. The source's task appends, and adds to `size`.
        size: Bytes in `frames`.
        cork: Bytes that wait at most before the source has to make a turn.
        discarded: Chunks that nobody will get.
        over: Nothing is sent any more: the body has ended, or cannot.
    """

    __slots__ = (
        "_in_flight",
        "_limit",
        "_room",
        "_tail",
        "cork",
        "discarded",
        "frames",
        "keeps_tail",
        "over",
        "size",
    )

    def __init__(self, limit: int, *, keeps_tail: bool) -> None:
        self.frames: list[bytes] = []
        self.size = self.discarded = self._in_flight = 0
        self.cork = min(CORK, (limit + 1) // 2)
        self.over = False
        self.keeps_tail = keeps_tail
        self._tail = b""
        self._limit = limit
        self._room: asyncio.Future[None] | None = None

    @property
    def buffered(self) -> int:
        """Bytes that the server has not taken."""
        return self.size + self._in_flight

    def take(self) -> tuple[bytes, int]:
        """What goes out next, and how many chunks are in it."""
        frames = self.frames
        chunks = len(frames) if self.size <= self.cork else self._corkful()
        data = frames[0] if chunks == 1 else b"".join(frames[:chunks])
        del frames[:chunks]
        if self.keeps_tail:
            self._tail = (self._tail + data)[-4:]
        self.size -= len(data)
        self.make_room()
        return data, chunks

    def tail(self) -> bytes:
        """The last four bytes of what was sent and what waits to be, if anybody wants them: `at_boundary`."""
        if not self.keeps_tail:
            return b""
        return b"".join([self._tail, *self.frames[-4:]])[-4:]

    def discard(self) -> None:
        """Nobody will get what waits."""
        self.discarded += len(self.frames)
        self.frames.clear()
        self.size = 0

    async def room(self) -> None:
        """Wait until the client has taken enough for the source to go on."""
        while self.buffered >= self._limit and not self.over:
            self._room = asyncio.get_running_loop().create_future()
            try:
                await self._room
            finally:
                self._room = None

    def make_room(self) -> None:
        """Let the source look whether it may go on."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def _corkful(self) -> int:
        size = 0
        for number, frame in enumerate(self.frames, 1):
            size += len(frame)
            if size >= self.cork:
                return number
        return len(self.frames)
