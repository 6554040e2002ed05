"""What asking for a stream's end comes to."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from endwell.engine._tasks import running_loop

if TYPE_CHECKING:
    from endwell.engine._stream import Stream


class StopResult(StrEnum):
    """What asking for a stream's end comes to."""

    STOPPED = "stopped"
    """It ran, and ends now because of it."""
    ALREADY_ENDED = "already_ended"
    """It was over, or about to be for another reason."""
    UNKNOWN = "unknown"
    """There is no such stream, or it ended long ago."""


class Stopping:
    """The answer to a `stop`: there at once; await it to wait until the stream's cleanup is over.

    True if the stream ends because of it. Awaited, it gives its `result`.

    Attributes:
        result: What it came to.
    """

    __slots__ = ("_stream", "_wait", "result")

    def __init__(self, result: StopResult, stream: Stream | None = None, wait: float | None = None) -> None:
        self.result = result
        self._stream = stream
        self._wait = wait

    def __bool__(self) -> bool:
        return self.result is StopResult.STOPPED

    def __await__(self) -> Generator[Any, None, StopResult]:
        stream = self._stream
        if stream is not None and stream.loop is running_loop():
            yield from asyncio.wait([stream.work.over.future()], timeout=self._wait).__await__()
        return self.result

    def __repr__(self) -> str:
        return f"<Stopping: {self.result.value}>"


def check_reason(reason: Any) -> None:
    """Raise TypeError if it is no text, or None."""
    if not isinstance(reason, str | None):
        raise TypeError(f"a reason must be a str, or None; got {reason!r}")
