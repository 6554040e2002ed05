"""Streaming responses that end well, however they end."""

from .asgi import CancelOnDisconnect
from .engine import CurrentStream, Snapshot, current_stream
from .errors import (
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
from .ext import ByteStream, EventStream, NDJSONStream, Streams, cancel_on_disconnect
from .lifecycle import Cause, Outcome
from .observe import Ending
from .settings import Policy
from .wire import Event

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
    "Streams",
    "cancel_on_disconnect",
    "current_stream",
]
__version__ = "0.1.0"
