"""Bytes and text as they are, for CSV, audio, archives and whatever has its own framing."""

from __future__ import annotations

from typing import Final, final

from endwell.errors import ChunkError, ChunkTypeError, ConfigurationError
from endwell.wire._format import utf8

__all__ = ["Raw"]


@final
class Raw:
    """Bytes as they are, `str` as UTF-8. No heartbeat, no word for a failure: a failed body has to be cut.

    Args:
        media_type: the response's Content-Type, such as "text/csv".

    Raises:
        ConfigurationError: `media_type` is no type/subtype in printable ASCII.
    """

    __slots__ = ("media_type",)

    name: Final = "raw"
    heartbeat: Final = None
    dialect: Final = None
    media_type: Final[str]

    def __init__(self, media_type: str) -> None:
        if not (
            isinstance(media_type, str)
            and media_type.isascii()
            and media_type.isprintable()
            and "/" in media_type
        ):
            raise ConfigurationError(f"media_type must be a type/subtype in ASCII, not {media_type!r}")
        self.media_type = media_type

    def encode(self, chunk: object) -> bytes:
        """The chunk's bytes; those of a mutable buffer are copied, so that the source may reuse it."""
        if isinstance(chunk, bytes):
            return chunk
        if isinstance(chunk, str):
            return utf8("text", chunk)
        if isinstance(chunk, bytearray | memoryview):
            return _copy(chunk)
        raise ChunkTypeError(f"{type(chunk).__name__} has no bytes of its own: yield bytes or str")


def _copy(buffer: bytearray | memoryview) -> bytes:
    try:
        return bytes(buffer)
    except ValueError as error:  # a memoryview that was released
        raise ChunkError(str(error)) from error
