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
    ├── ClientError             raised by a source, to say something to the client on purpose
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
    "ClientError",
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


class ClientError(EndwellError):
    """What a source says to its client on purpose, in the response's dialect; the stream has `failed`.

    Of every other exception the client learns no more than `internal_error` and a reference.

    Args:
        code: A fixed, machine-readable word, such as "quota_exceeded".
        message: What the client may read.
        status: The HTTP status, 400 to 599, if none is out yet. Default 400.

    A subclass may set them as class attributes instead, which are checked when the class is made.

    Raises:
        ConfigurationError: `status` is no such number.
        TypeError: `code` or `message` is no str.
    """

    code = "client_error"
    message = "The request cannot be served."
    status = 400

    def __init__(
        self, code: str | None = None, message: str | None = None, *, status: int | None = None
    ) -> None:
        super().__init__(code, message)  # what it is made of again in another process
        given = {"code": code, "message": message, "status": status}
        for name, value in given.items():
            if value is not None:
                setattr(self, name, value)
        _check_words(self)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        _check_words(cls)

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def _check_words(said: ClientError | type[ClientError]) -> None:
    kind = said if isinstance(said, type) else type(said)
    if any(isinstance(getattr(kind, name), property) for name in ("code", "message", "status")):
        return  # worked out when they are needed
    code, message, status = said.code, said.message, said.status
    if not isinstance(code, str) or not isinstance(message, str):
        raise TypeError(f"a ClientError's code and message must be str, got {code!r} and {message!r}")
    if not isinstance(status, int) or not 400 <= status <= 599:  # noqa: PLR2004
        raise ConfigurationError(f"a ClientError's status must be from 400 to 599, got {status!r}")


class StreamCut(EndwellError):
    """The response was truncated on purpose, because its format has no way to say how the stream ended."""


class IllegalStep(EndwellError, RuntimeError):
    """A step that cannot happen to a stream in its state: a bug in endwell itself. Please report it."""


class MissingExtra(EndwellError, ImportError):
    """An optional dependency is missing. The message names the extra to install."""
