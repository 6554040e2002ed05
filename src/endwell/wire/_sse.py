"""Server-sent events, as the WHATWG's HTML standard defines them in section 9.2.

Every frame carries data: a block with only `id:` or `retry:` kills several clients.
"""

from __future__ import annotations

from typing import Final, TypeGuard, final

import msgspec

from endwell.errors import ChunkError, ChunkTypeError
from endwell.settings import MAX_RETRY
from endwell.wire._format import CR, LF, NUL, error_body, utf8
from endwell.wire._json import json_bytes

__all__ = ["SSE", "Event"]


class _WithData(msgspec.Struct, frozen=True):  # apart, as only then it is positional and the rest is not
    data: object


@final
class Event(_WithData, frozen=True, kw_only=True):
    r"""One server-sent event with more than data to it. Immutable, and checked when it is made.

    Args:
        data: a str goes as it is, anything else as JSON. CR, LF and CRLF become LF at the client.
        event: the name a browser's `addEventListener` listens to. Default: "message".
        id: what a reconnecting client sends back as `Last-Event-ID`. An int goes in decimal digits.
        retry: after how many ms a disconnected client reconnects, 0 to 2,147,483,647.
        comment: lines that clients ignore, sent before the data.

    Raises:
        ChunkError: `event` or `id` holds a CR, LF or NUL; a lone surrogate; `retry` is out of its bounds.
        ChunkTypeError: a field is of the wrong type, or `data` is itself an Event.
    """

    # A msgspec struct, not a dataclass: made in 0.1 instead of 1.3 µs, and there may be one for every token.

    event: str | None = None
    id: str | int | None = None
    retry: int | None = None
    comment: str | None = None

    def __post_init__(self) -> None:
        if type(self.data) is Event:
            raise ChunkTypeError("data: an Event within an Event")
        _head(self)


@final
class SSE:
    """Server-sent events: a `str` goes as it is, an `Event` as described there, anything else as JSON."""

    __slots__ = ()

    name: Final = "sse"
    media_type: Final = "text/event-stream"
    # One line, no blank line: an empty block is an event to openai-python (JSONDecodeError) and httpx-sse.
    heartbeat: Final = b": ping\n"

    def encode(self, chunk: object) -> bytes:
        """One event. See `Format.encode`."""
        if type(chunk) is Event:
            return _head(chunk) + self.encode(chunk.data)
        text = utf8("data", chunk) if isinstance(chunk, str) else json_bytes(chunk)
        if LF in text or CR in text:
            return _lines(b"data: ", text) + b"\n"
        return b"data: %b\n\n" % text

    def error_frame(self, code: str, message: str, ref: str, *, retry: int | None = None) -> bytes:
        """An event named `error`, its data {"code", "message", "ref"}. See `Format.error_frame`."""
        return self.encode(Event(error_body(code, message, ref), event="error", retry=retry))


def _head(event: Event) -> bytes:
    """The lines before the data; raises what is wrong with them."""
    head = b""
    if event.comment is not None:
        head += _lines(b": ", utf8("comment", event.comment))
    if event.event is not None:
        head += b"event: %b\n" % _one_line("event", event.event)
    if event.id is not None:
        head += b"id: %b\n" % _id(event.id)
    if event.retry is not None:
        head += b"retry: %d\n" % _retry(event.retry)
    return head


def _lines(field: bytes, text: bytes) -> bytes:
    """`text` with `field` before each of its lines; only CR, LF and CRLF end one, as in the standard."""
    text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return field + text.replace(b"\n", b"\n" + field) + b"\n"


def _one_line(field: str, value: object) -> bytes:
    text = utf8(field, value)
    if LF in text or CR in text or NUL in text:
        raise ChunkError(f"{field}: CR, LF or NUL in {value!r:.80}")
    return text


def _id(value: object) -> bytes:
    if not _is_int(value):
        return _one_line("id", value)
    try:
        return b"%d" % value
    except ValueError as error:  # thousands of digits, more than Python prints
        raise ChunkError(f"id: {error}") from error


def _retry(value: object) -> int:
    if not _is_int(value):
        raise ChunkTypeError(f"retry must be an int in ms, not {type(value).__name__}")
    if not 0 <= value <= MAX_RETRY:
        raise ChunkError(f"retry must be from 0 to {MAX_RETRY} ms")
    return value


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
