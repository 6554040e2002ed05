"""Streaming responses that end well, however they end."""

from endwell.asgi import CancelOnDisconnect
from endwell.engine import Busy, CurrentStream, Snapshot, current_stream
from endwell.errors import (
    ChunkError,
    ChunkTypeError,
    ClientError,
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
from endwell.observe import Ending, SourceEnd
from endwell.settings import Finish, Grace, Policy
from endwell.wire import Dialect, Event, Told

__all__ = [
    "Busy",
    "ByteStream",
    "CancelOnDisconnect",
    "Cause",
    "ChunkError",
    "ChunkTypeError",
    "ClientError",
    "ConfigurationError",
    "CurrentStream",
    "Dialect",
    "Ending",
    "EndwellError",
    "Event",
    "EventStream",
    "Finish",
    "Grace",
    "MissingExtra",
    "NDJSONStream",
    "NoCurrentStream",
    "NotReleasable",
    "Outcome",
    "Policy",
    "Snapshot",
    "SourceCrashed",
    "SourceEnd",
    "SourceError",
    "SourceInUse",
    "StreamCut",
    "StreamResponse",
    "Streams",
    "Told",
    "cancel_on_disconnect",
    "current_stream",
]
__version__ = "0.1.0"
