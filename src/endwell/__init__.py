"""Streaming responses that end well, however they end."""

from endwell.asgi import CancelOnDisconnect
from endwell.engine import CurrentStream, Snapshot, current_stream
from endwell.errors import (
    ChunkError,
    ChunkTypeError,
    ConfigurationError,
    EndwellError,
    MissingExtra,
    NoCurrentStream,
    NotReleasable,
    SourceCrashed,
    SourceError,
    SourceInUse,
    StreamCut,
)
from endwell.ext import (
    ByteStream,
    EventStream,
    NDJSONStream,
    StreamResponse,
    Streams,
    cancel_on_disconnect,
)
from endwell.lifecycle import Cause, Outcome
from endwell.observe import Ending
from endwell.settings import Policy
from endwell.wire import Event

__all__ = [
    "ByteStream",
    "CancelOnDisconnect",
    "Cause",
    "ChunkError",
    "ChunkTypeError",
    "ConfigurationError",
    "CurrentStream",
    "Ending",
    "EndwellError",
    "Event",
    "EventStream",
    "MissingExtra",
    "NDJSONStream",
    "NoCurrentStream",
    "NotReleasable",
    "Outcome",
    "Policy",
    "Snapshot",
    "SourceCrashed",
    "SourceError",
    "SourceInUse",
    "StreamCut",
    "StreamResponse",
    "Streams",
    "cancel_on_disconnect",
    "current_stream",
]
__version__ = "0.1.0"
