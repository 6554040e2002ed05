"""What every format promises, and what they share."""

from __future__ import annotations

from typing import Final, Protocol

from endwell.errors import ChunkError, ChunkTypeError

__all__ = ["CR", "LF", "NUL", "Format", "error_body", "utf8"]

# As ints: `LF in data` takes 25 ns where `b"\n" in data`, which tries an int first, takes 270.
NUL: Final = 0x00
LF: Final = 0x0A
CR: Final = 0x0D


class Format(Protocol):
    """How chunks become bytes. Instances hold no state, so one serves any number of streams and threads."""

    @property
    def name(self) -> str:
        """A short, fixed name for logs and metric labels."""
        ...

    @property
    def media_type(self) -> str:
        """The response's Content-Type."""
        ...

    @property
    def heartbeat(self) -> bytes | None:
        """Bytes a client ignores, legal between any two frames. None: the format has none."""
        ...

    def encode(self, chunk: object) -> bytes:
        """One chunk as one whole frame, never a part of one.

        Raises:
            ChunkError: the chunk's value cannot be encoded.
            ChunkTypeError: the format does not carry chunks of this type.
        """
        ...

    def error_frame(self, code: str, message: str, ref: str, *, retry: int | None = None) -> bytes | None:
        """The terminal frame of a failed stream. None: the format cannot say it, so the body must be cut.

        Args:
            code: a fixed, machine-readable word.
            message: what the client may read. No text makes this fail: lone surrogates are escaped.
            ref: what finds the failure in the server's log.
            retry: when to reconnect, in ms; only SSE can say it, the others ignore it.

        Raises:
            ChunkError: `retry` is out of its bounds.
            ChunkTypeError: `retry` is no int.
        """
        ...


def utf8(what: str, text: object) -> bytes:
    """`text` in UTF-8; `what` names it in the error.

    Raises:
        ChunkError: the text holds a lone surrogate, for which UTF-8 has no bytes.
        ChunkTypeError: it is no str.
    """
    if not isinstance(text, str):
        raise ChunkTypeError(f"{what} must be a str, not {type(text).__name__}")
    try:
        return str.encode(text)  # not text.encode(): a subclass may have its own
    except UnicodeEncodeError as error:
        raise ChunkError(f"{what}: lone surrogate {text[error.start]!a} at index {error.start}") from error


def error_body(code: str, message: str, ref: str) -> dict[str, str]:
    """What a terminal frame says, in words that can always be encoded: telling of a failure must not fail."""
    said = {"code": code, "message": message, "ref": ref}
    return {name: text.encode("utf-8", "backslashreplace").decode() for name, text in said.items()}
