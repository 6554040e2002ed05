"""Streaming responses that end well, however they end."""

from endwell.asgi import CancelOnDisconnect, ClientAddress
from endwell.engine import Busy, CurrentStream, Snapshot, StopResult, current_stream
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
from endwell.settings import Deployment, Finish, Grace, Limits, Policy
from endwell.wire import Dialect, Event, Told

__all__ = [
    "Busy",
    "ByteStream",
    "CancelOnDisconnect",
    "Cause",
    "ChunkError",
    "ChunkTypeError",
    "ClientAddress",
    "ClientError",
    "ConfigurationError",
    "CurrentStream",
    "Deployment",
    "Dialect",
    "Ending",
    "EndwellError",
    "Event",
    "EventStream",
    "Finish",
    "Grace",
    "Limits",
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
    "StopResult",
    "StreamCut",
    "StreamResponse",
    "Streams",
    "Told",
    "cancel_on_disconnect",
    "current_stream",
]
__version__ = "0.1.0"
