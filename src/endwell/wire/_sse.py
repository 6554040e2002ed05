"""Server-sent events, as the WHATWG's HTML standard defines them in section 9.2.

Every frame carries data: a block with only `id:` or `retry:` kills several clients.
"""

from __future__ import annotations

from typing import Final, TypeGuard, final

import msgspec

from endwell.errors import ChunkError, ChunkTypeError
from endwell.settings import MAX_RETRY
from endwell.wire._dialect import Dialect, Told, error_object
from endwell.wire._format import CR, LF, NUL, utf8
from endwell.wire._json import json_bytes

__all__ = ["SSE", "Event", "Generic", "block"]


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

    @property
    def dialect(self) -> Dialect:
        """An event named `error`. See `Format.dialect`."""
        return _GENERIC

    def encode(self, chunk: object) -> bytes:
        """One event. See `Format.encode`."""
        if type(chunk) is dict:  # as most are
            text = json_bytes(chunk)
        elif type(chunk) is Event:
            return _head(chunk) + self.encode(chunk.data)
        else:
            text = utf8("data", chunk) if isinstance(chunk, str) else json_bytes(chunk)
        if LF in text or CR in text:
            return _lines(b"data: ", text) + b"\n"
        return text.join(_AROUND)  # 0.05 µs; formatted 0.07, added 0.08

    @staticmethod
    def with_id(frame: bytes, id: str | int, retry: int | None = None) -> bytes:  # noqa: A002 - the field's own word
        """A frame of `encode` with an id, and a reconnection time, joined to it without encoding it anew.

        They go before its own lines, so that an id or a retry which an `Event` brought with it has the last
        word.

        Args:
            frame: one whole event.
            id: as in `Event`.
            retry: in ms, as in `Event`.

        Raises:
            ChunkError: `id` holds a CR, LF or NUL, or a lone surrogate; `retry` is out of its bounds.
            ChunkTypeError: one of them is of the wrong type.
        """
        head = b"" if retry is None else b"retry: %d\n" % _retry(retry)
        return head + _id(id) + frame


@final
class Generic:
    """For `EventSource` and your own clients: an event named `error`, its data {"code", "message", "ref"}."""

    __slots__ = ()

    name: Final = "generic"
    media_type: Final = "text/event-stream"
    done: Final = b""

    def frame(self, told: Told) -> bytes:
        """One event. A browser hands it to `onerror`, and to listeners of "error"; then it reconnects."""
        return block(told, error_object(told), event="error")

    def body(self, told: Told) -> object:
        """{"error": {"code", "message", "ref"}}."""
        return {"error": error_object(told)}


def block(told: Told, data: object, *, event: str | None = None) -> bytes:
    """A terminal frame: one event, with the id and the retry in it.

    On their own they would be a block without data, which kills openai-python.
    """
    return _EVENTS.encode(Event(data, event=event, id=told.id, retry=told.retry))


_AROUND: Final = (b"data: ", b"\n\n")
_EVENTS: Final = SSE()
_GENERIC: Final = Generic()


def _head(event: Event) -> bytes:
    """The lines before the data; raises what is wrong with them."""
    head = b""
    if event.comment is not None:
        head += _lines(b": ", utf8("comment", event.comment))
    if event.event is not None:
        head += b"event: %b\n" % _one_line("event", event.event)
    if event.id is not None:
        head += _id(event.id)
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
        return b"id: %b\n" % _one_line("id", value)
    try:
        return b"id: %d\n" % value
    except ValueError as error:  # thousands of digits, more than Python prints
        raise ChunkError(f"id: {error}") from error


def _retry(value: object) -> int:
    if not _is_int(value):
        raise ChunkTypeError(f"retry must be an int in ms, not {type(value).__name__}")
    if not 0 <= value <= MAX_RETRY:
        raise ChunkError(f"retry must be from 0 to {MAX_RETRY} ms")
    return value


def _is_int(value: object) -> TypeGuard[int]:
    return type(value) is int or (isinstance(value, int) and not isinstance(value, bool))
