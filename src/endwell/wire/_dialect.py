"""What a dialect of the terminal frame promises, and what it is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from endwell.errors import ChunkTypeError
from endwell.wire._json import json_bytes

__all__ = ["Dialect", "Told", "at_boundary", "body_bytes", "error_object", "frame_bytes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a client is to be told of a stream that did not complete. Its texts can always be encoded.

    Args:
        code: a fixed, machine-readable word. In this and the other texts lone surrogates become escapes, as
            to tell of a failure must not fail.
        message: what the client may read.
        ref: what finds the failure in the server's log.
        status: the HTTP status that fits, whether it can still be sent or not.
        retry: after how many ms to reconnect; None says nothing of it.
        chunks: how many chunks were written before.
        id: the SSE id that the terminal frame must carry; None for none.
    """

    code: str
    message: str
    ref: str
    status: int
    retry: int | None = None
    chunks: int = 0
    id: str | None = None

    def __post_init__(self) -> None:
        for name in ("code", "message", "ref"):
            text: str = getattr(self, name)
            if not text.isascii():
                text = text.encode("utf-8", "backslashreplace").decode()
                object.__setattr__(self, name, text)


class Dialect(Protocol):
    """How a stream's end is put in the words of one family of clients: any object with these members will do.

    One instance serves any number of streams and threads, so it holds no state of theirs.
    """

    @property
    def name(self) -> str:
        """A short, fixed name for logs."""
        ...

    @property
    def media_type(self) -> str:
        """The Content-Type it belongs to, without parameters: "text/event-stream"."""
        ...

    @property
    def done(self) -> bytes:
        """What a completed stream ends with; b"" for nothing."""
        ...

    def frame(self, told: Told) -> bytes:
        """The terminal frame of a stream that failed: whole, and the last that is sent."""
        ...

    def body(self, told: Told) -> object:
        """The JSON body of a real HTTP error, for a stream that failed before its first byte."""
        ...


def frame_bytes(dialect: Dialect, told: Told) -> bytes:
    """The terminal frame, from a dialect that may be anybody's.

    Raises:
        ChunkTypeError: it is no bytes.
        Exception: whatever the dialect raised.
    """
    frame: object = dialect.frame(told)
    if not isinstance(frame, bytes):
        raise ChunkTypeError(f"dialect {dialect.name!r}: frame must give bytes, not {type(frame).__name__}")
    return frame


def body_bytes(dialect: Dialect, told: Told) -> bytes:
    """The JSON of an HTTP error's body, from a dialect that may be anybody's.

    Raises:
        ChunkError: it cannot be encoded.
        ChunkTypeError: it is of a type without JSON.
        Exception: whatever the dialect raised.
    """
    return json_bytes(dialect.body(told))


def error_object(told: Told) -> dict[str, str]:
    """The three words by which endwell's own dialects name a failure."""
    return {"code": told.code, "message": told.message, "ref": told.ref}


def at_boundary(dialect: Dialect, tail: bytes) -> bool:
    r"""Whether a terminal frame may follow what ends in `tail`: not in the middle of another frame.

    Asked where a source sends ready-made bytes, whose chunks may end anywhere as an upstream's do.

    Args:
        dialect: it says by its `media_type` what a frame ends with.
        tail: the last four bytes sent, or all if there are fewer; b"" if there are none.
    """
    if dialect.media_type == "text/event-stream":
        lines = tail.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return not lines.strip(b"\n") or lines.endswith(b"\n\n")
    return not tail or tail.endswith(b"\n")
