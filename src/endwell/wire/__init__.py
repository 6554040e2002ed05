"""Chunks to bytes and nothing else: no event loop, no clock, no socket.

A format turns one chunk into one whole frame, or raises before a byte of it exists. What it emits parses back
to what it was given (the tests hold a decoder written from the WHATWG text against it); nothing is stripped,
replaced or repaired in silence.

    SSE      server-sent events for `EventSource`, `fetch` and the LLM clients
    NDJSON   one JSON document to a line
    Raw      bytes and text as they are
"""

from __future__ import annotations

from endwell.wire._format import Format
from endwell.wire._ndjson import NDJSON
from endwell.wire._raw import Raw
from endwell.wire._sse import SSE, Event

__all__ = ["NDJSON", "SSE", "Event", "Format", "Raw"]
