"""Newline-delimited JSON: one document to a line."""

from __future__ import annotations

from typing import Final, final

from endwell.errors import ChunkError, ChunkTypeError
from endwell.wire._dialect import Dialect, Told, error_object
from endwell.wire._format import CR, LF
from endwell.wire._json import json_bytes
from endwell.wire._sse import Event

__all__ = ["NDJSON", "NDJSONLine"]


@final
class NDJSON:
    """One JSON document to a line. A `str` chunk is a document too: it goes out as a JSON string, in quotes.

    Args:
        heartbeat: send a blank line when idle. Default: False, as some parsers take it for a broken document.
    """

    __slots__ = ("heartbeat",)

    name: Final = "ndjson"
    media_type: Final = "application/x-ndjson"
    heartbeat: Final[bytes | None]

    def __init__(self, heartbeat: bool = False) -> None:  # noqa: FBT001, FBT002
        self.heartbeat = b"\n" if heartbeat else None

    @property
    def dialect(self) -> Dialect:
        """A line {"error": …}. See `Format.dialect`."""
        return _LINE

    def encode(self, chunk: object) -> bytes:
        """One line. See `Format.encode`."""
        if type(chunk) is Event:
            raise ChunkTypeError("an Event is for EventStream, NDJSON has no names or ids: yield its data")
        line = json_bytes(chunk)
        if LF in line or CR in line:
            raise ChunkError("a msgspec.Raw with a line break in it would break the line: compact it first")
        return line + b"\n"


@final
class NDJSONLine:
    """For any reader of NDJSON: a last line {"error": {"code", "message", "ref"}}."""

    __slots__ = ()

    name: Final = "ndjson"
    media_type: Final = "application/x-ndjson"
    done: Final = b""

    def frame(self, told: Told) -> bytes:
        """One line. It has no place for an id or a retry."""
        return json_bytes(self.body(told)) + b"\n"

    def body(self, told: Told) -> object:
        """The same object as in the frame."""
        return {"error": error_object(told)}


_LINE: Final = NDJSONLine()
