"""An incremental event-stream decoder, written from the WHATWG's HTML standard, sections 9.2.5 and 9.2.6.

It is the judge of what endwell sends, so it takes nothing from endwell: bytes in, in pieces of any size,
messages out as a browser would dispatch them. It also keeps what a browser throws away, the comments.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass

BOM = "\ufeff"


@dataclass(frozen=True)
class Message:
    """What a browser hands to a listener."""

    data: str
    type: str = "message"
    last_event_id: str = ""


class Decoder:
    """One connection's reading side: `feed` it bytes; what is incomplete at the end is never dispatched."""

    def __init__(self) -> None:
        self.last_event_id = ""
        self.reconnection_time: int | None = None
        self.comments: list[str] = []
        self._text = codecs.getincrementaldecoder("utf-8")("replace")
        self._at_start = True
        self._after_cr = False
        self._line: list[str] = []
        self._data = ""
        self._type = ""
        self._id = ""

    def feed(self, piece: bytes) -> list[Message]:
        """The messages that `piece` completes."""
        text = self._text.decode(piece)
        if self._at_start and text:
            self._at_start = False
            text = text.removeprefix(BOM)
        return [message for char in text if (message := self._take(char)) is not None]

    def _take(self, char: str) -> Message | None:
        after_cr, self._after_cr = self._after_cr, char == "\r"
        if char == "\n" and after_cr:  # the second half of a CRLF
            return None
        if char not in "\r\n":
            self._line.append(char)
            return None
        line = "".join(self._line)
        self._line.clear()
        return self._interpret(line)

    def _interpret(self, line: str) -> Message | None:
        if not line:
            return self._dispatch()
        if line.startswith(":"):
            self.comments.append(line[1:].removeprefix(" "))
            return None
        field, _, value = line.partition(":")
        self._process(field, value.removeprefix(" "))
        return None

    def _process(self, field: str, value: str) -> None:
        match field:
            case "event":
                self._type = value
            case "data":
                self._data += value + "\n"
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit():
                self.reconnection_time = int(value)

    def _dispatch(self) -> Message | None:
        self.last_event_id = self._id
        data, kind = self._data, self._type
        self._data, self._type = "", ""
        if not data:
            return None
        return Message(data.removesuffix("\n"), kind or "message", self.last_event_id)


def decode(*pieces: bytes) -> list[Message]:
    """All messages of a stream that came in these pieces."""
    decoder = Decoder()
    return [message for piece in pieces for message in decoder.feed(piece)]
