"""How a stream speaks to its client: chunks, the end of a body, and what is said of any other end."""

from __future__ import annotations

import random

from endwell.engine._asker import Asker
from endwell.engine._farewell import refusal, terminal_frame, words_for
from endwell.lifecycle import Cause
from endwell.settings import Policy
from endwell.wire import SSE, Dialect, Format, Numbered, Told, at_boundary

_SERVICE_UNAVAILABLE = 503
_RETRY = (1000, 3000)
_NOT_AGAIN = (Cause.STOP, Cause.SOURCE_RAISED)
"""Causes after which an EventSource is not to start over: that would do what was not wanted, or fail."""


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
        keeps_tail: Bytes come ready-made and may end in the middle of a frame, so that the last ones have to
            be known.
    """

    __slots__ = ("_dialect", "_is_events", "_numbered", "_policy", "asker", "encode", "keeps_tail")

    def __init__(
        self,
        token: str,
        format: Format,  # noqa: A002 - the field's own word
        policy: Policy,
        *,
        dialect: Dialect | None = None,
        resumable: bool = False,
        asker: Asker | None = None,
    ) -> None:
        self._dialect = dialect or format.dialect
        self._policy = policy
        self._is_events = format.media_type == SSE.media_type
        self._numbered = Numbered(token, self._retry()) if resumable else None
        self.encode = format.encode if self._numbered is None else self._numbered.encode
        self.keeps_tail = dialect is not None and format.dialect is None
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
        return not self.keeps_tail or (self._dialect is not None and at_boundary(self._dialect, tail))

    def refusal(self, told: Told) -> bytes:
        """The JSON body of an HTTP error in the place of a stream."""
        return refusal(self._dialect, told)

    def soft_refusal(self, told: Told, cause: Cause | None) -> bytes | None:
        """What an EventSource is told with 200, as an error would stop it for good; None for others."""
        wanted = self._policy.soft_refusal and told.status == _SERVICE_UNAVAILABLE and cause is not Cause.STOP
        if not wanted or not self._is_events or not self.asker.is_event_source:
            return None
        return b"retry: %d\n\n" % _draw(self._policy.retry or _RETRY)

    def _retry(self) -> int | None:
        return None if self._policy.retry is None else _draw(self._policy.retry)


def _draw(span: tuple[int, int]) -> int:
    """When to come back, in ms; drawn, so that a fleet's clients do not come back at once."""
    return random.randint(*span)  # noqa: S311 - spreads load, hides nothing
