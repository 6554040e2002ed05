"""How a stream speaks to its client: chunks, the end of a body, and what is said of any other end."""

from __future__ import annotations

import math
import random
from typing import NamedTuple

from endwell.engine._asker import Asker
from endwell.engine._farewell import refusal, terminal_frame, words_for
from endwell.lifecycle import Cause
from endwell.settings import Policy
from endwell.wire import SSE, Dialect, Format, Numbered, Told, at_boundary

_UNAVAILABLE = 503
_RETRY = (1000, 3000)
_NOT_AGAIN = (Cause.STOP, Cause.SOURCE_RAISED)
"""Causes after which an EventSource is not to start over: that would do what was not wanted, or fail."""


class Refusal(NamedTuple):
    """An answer in the place of a stream.

    Attributes:
        status: The HTTP status.
        body: The body: JSON, or an event stream's if it is `soft`.
        retry_after: Seconds after which to come back; None if that is not to be said.
        soft: It is no error, so that an EventSource comes back, and has the headers of the stream.
    """

    status: int
    body: bytes
    retry_after: int | None = None
    soft: bool = False


def keeps_tail(dialect: Dialect | None, format: Format) -> bool:  # noqa: A002 - the field's own word
    """Whether bytes come ready-made and may end within a frame, so that the last have to be known."""
    return dialect is not None and format.dialect is None


class Voice:
    """What one stream says.

    Args:
        token: The stream's id.
        format: How chunks become bytes.
        policy: When to come back.
        dialect: How an end that is none is told; the format's own by default.
        resumable: Number the events, and mark the end; for SSE only.
        asker: Whom it speaks to.

    Attributes:
        encode: One chunk as one frame.
    """

    __slots__ = ("_dialect", "_format", "_keeps_tail", "_numbered", "_policy", "asker", "encode")

    def __init__(
        self,
        token: str,
        format: Format,  # noqa: A002 - the field's own word
        policy: Policy,
        dialect: Dialect | None = None,
        *,
        resumable: bool = False,
        asker: Asker | None = None,
    ) -> None:
        self._dialect = dialect or format.dialect
        self._policy = policy
        self._format = format
        self._numbered = Numbered(token, self._retry()) if resumable else None
        self.encode = format.encode if self._numbered is None else self._numbered.encode
        self._keeps_tail = keeps_tail(dialect, format)
        self.asker = asker or Asker()

    def finale(self, tail: bytes) -> bytes:
        """What stands between a completed stream's last chunk and the end of a body that ends in `tail`."""
        done = self._dialect.done if self._dialect is not None and self._is_at_boundary(tail) else b""
        return done if self._numbered is None else self._numbered.end() + done

    def told(self, cause: Cause | None, error: BaseException | None, *, reference: str, chunks: int) -> Told:
        """What there is to say of an end."""
        words = words_for(cause, error)
        return Told(
            code=words.code,
            message=words.message,
            ref=reference,
            status=words.status,
            retry=self._retry() if cause is Cause.DRAIN else None,
            chunks=chunks,
            id=self._numbered.end_id if self._numbered is not None and cause in _NOT_AGAIN else None,
        )

    def frame(self, told: Told, tail: bytes) -> bytes | None:
        """The last frame of a body that ends in `tail`; None if it cannot be said, so that a cut must do."""
        return terminal_frame(self._dialect, told) if self._is_at_boundary(tail) else None

    def _is_at_boundary(self, tail: bytes) -> bool:
        return not self._keeps_tail or (self._dialect is not None and at_boundary(self._dialect, tail))

    def refuse(self, told: Told, cause: Cause | None, *, span: tuple[int, int] | None = None) -> Refusal:
        """Answer with an HTTP error in the place of a stream.

        An EventSource, which an error would stop for good, may be told with 200 to come back.

        Args:
            told: What to say.
            cause: Why.
            span: Range of seconds after which to come back; None for the policy's `retry`.
        """
        if told.status != _UNAVAILABLE and cause is not Cause.OVER_KEY:  # a source's own 429 is the source's
            return Refusal(told.status, refusal(self._dialect, told))
        if cause is not Cause.STOP and self._spares_event_sources():
            in_ms = (span[0] * 1000, span[1] * 1000) if span else self._policy.retry or _RETRY
            return Refusal(200, b"retry: %d\n\n" % _draw(in_ms), soft=True)
        wait = _draw(span) if span else max(1, math.ceil(_draw(self._policy.retry or _RETRY) / 1000))
        return Refusal(told.status, refusal(self._dialect, told), wait)

    def _spares_event_sources(self) -> bool:
        return (
            self._policy.soft_refusal
            and self._format.media_type == SSE.media_type
            and self.asker.is_event_source
        )

    def _retry(self) -> int | None:
        return None if self._policy.retry is None else _draw(self._policy.retry)


def _draw(span: tuple[int, int]) -> int:
    """When to come back; drawn, so that a fleet's clients do not come back at once."""
    return random.randint(*span)  # noqa: S311 - spreads load, hides nothing
