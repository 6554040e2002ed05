"""Every error endwell raises, in one tree.

    EndwellError
    ├── ConfigurationError      a setting is wrong                      (also a ValueError)
    ├── SourceError             what a source gave, or was asked
    │   ├── ChunkError          a chunk cannot be put on the wire       (also a ValueError)
    │   ├── ChunkTypeError      a chunk is of a type the format cannot carry (also a TypeError)
    │   ├── SourceInUse         one source given to two responses
    │   └── SourceCrashed       a source raised what must not reach the server as it is
    ├── NotReleasable           a resource that nothing can release     (also a TypeError)
    ├── NoCurrentStream         current_stream() outside a source
    ├── StreamCut               raised *to the server*, so that a failed body is visibly cut
    ├── IllegalStep             the lifecycle table has no such step: a bug in endwell (also a RuntimeError)
    └── MissingExtra            an optional dependency is not installed (also an ImportError)

`ConfigurationError` and the errors under `SourceError` are the application's to fix. `StreamCut` is never an
accident: it is how a format without an error frame tells the client that the body is not whole.
"""

from __future__ import annotations

__all__ = [
    "ChunkError",
    "ChunkTypeError",
    "ConfigurationError",
    "EndwellError",
    "IllegalStep",
    "MissingExtra",
    "NoCurrentStream",
    "NotReleasable",
    "SourceCrashed",
    "SourceError",
    "SourceInUse",
    "StreamCut",
]


class EndwellError(Exception):
    """The base of all errors raised by endwell."""


class ConfigurationError(EndwellError, ValueError):
    """A setting is out of its bounds. The message names the field, the value and the bound."""


class SourceError(EndwellError):
    """A source gave something that cannot be streamed, or was used wrongly."""


class ChunkError(SourceError, ValueError):
    """A chunk's value cannot be encoded (a lone surrogate, NaN in JSON, a line break in an event's name)."""


class ChunkTypeError(SourceError, TypeError):
    """A chunk's type cannot be carried by the format. The message names the type and the fix."""


class SourceInUse(SourceError, RuntimeError):
    """The same generator or iterator was given to two responses; chunks would be split between them."""


class SourceCrashed(SourceError, RuntimeError):
    """A source raised SystemExit, KeyboardInterrupt, GeneratorExit or CancelledError on its own account.

    Raised from the original, which is its `__cause__`: those types would take the server down with them.
    """


class NotReleasable(EndwellError, TypeError):
    """A resource given to `owns` has no aclose, close or exit, is no task, and cannot be called."""


class NoCurrentStream(EndwellError, LookupError):
    """`current_stream()` was called outside a source, its cleanup, and what it spawned."""


class StreamCut(EndwellError):
    """The response was truncated on purpose, because its format has no way to say how the stream ended."""


class IllegalStep(EndwellError, RuntimeError):
    """A step that cannot happen to a stream in its state: a bug in endwell itself. Please report it."""


class MissingExtra(EndwellError, ImportError):
    """An optional dependency is missing. The message names the extra to install."""
