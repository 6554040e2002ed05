"""What every format promises, and what they share."""

from __future__ import annotations

from typing import Final, Protocol

from endwell.errors import ChunkError, ChunkTypeError
from endwell.wire._dialect import Dialect

__all__ = ["CR", "LF", "NUL", "Format", "utf8"]

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

    @property
    def dialect(self) -> Dialect | None:
        """How a failure is told unless another dialect is chosen. None: not at all, so the body is cut."""
        ...

    def encode(self, chunk: object) -> bytes:
        """One chunk as one whole frame, never a part of one.

        Raises:
            ChunkError: the chunk's value cannot be encoded.
            ChunkTypeError: the format does not carry chunks of this type.
        """
        ...


def utf8(what: str, text: object) -> bytes:
    """`text` in UTF-8; `what` names it in the error.

    Raises:
        ChunkError: the text holds a lone surrogate, for which UTF-8 has no bytes.
        ChunkTypeError: it is no str.
    """
    try:
        return _encode(text)  # type: ignore[arg-type]
    except UnicodeEncodeError as error:
        lone = error.object[error.start]
        raise ChunkError(f"{what}: lone surrogate {lone!a} at index {error.start}") from error
    except TypeError:
        raise ChunkTypeError(f"{what} must be a str, not {type(text).__name__}") from None


_encode: Final = str.encode  # not text.encode(): a subclass may have its own; and it takes nothing but a str
