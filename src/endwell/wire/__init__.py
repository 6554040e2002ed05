"""Chunks to bytes and nothing else: no event loop, no clock, no socket.

A format turns one chunk into one whole frame, or raises before a byte of it exists. What it emits parses back
to what it was given (the tests hold a decoder written from the WHATWG text against it); nothing is stripped,
replaced or repaired in silence.

    SSE      server-sent events for `EventSource`, `fetch` and the LLM clients
    NDJSON   one JSON document to a line
    Raw      bytes and text as they are

How a failure is told to the client is a dialect's affair: each format has its own, and can carry others.
"""

from __future__ import annotations

from endwell.wire._dialect import Dialect, Told, at_boundary, body_bytes, frame_bytes
from endwell.wire._dialects import AGUI, AISDK, Anthropic, OpenAIChat, OpenAIResponses, dialect_for
from endwell.wire._format import Format
from endwell.wire._ndjson import NDJSON, NDJSONLine
from endwell.wire._numbered import Numbered, marks_the_end
from endwell.wire._raw import Raw
from endwell.wire._sse import SSE, Event, Generic

__all__ = [
    "AGUI",
    "AISDK",
    "NDJSON",
    "SSE",
    "Anthropic",
    "Dialect",
    "Event",
    "Format",
    "Generic",
    "NDJSONLine",
    "Numbered",
    "OpenAIChat",
    "OpenAIResponses",
    "Raw",
    "Told",
    "at_boundary",
    "body_bytes",
    "dialect_for",
    "frame_bytes",
    "marks_the_end",
]
