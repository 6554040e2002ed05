"""The dialects of the terminal frame that well-known clients report as an error.

Each shape is one that every client of its family raises on; docs/reference/dialects.md says which were asked.
With its neighbours, such as a bare object or `{"detail": …}`, some of them end as if all were well.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Final, final

from endwell.errors import ConfigurationError
from endwell.wire._dialect import Dialect, Told, error_object
from endwell.wire._format import Format
from endwell.wire._ndjson import NDJSONLine
from endwell.wire._sse import Generic, block

__all__ = [
    "AGUI",
    "AISDK",
    "Anthropic",
    "Dialect",
    "Generic",
    "NDJSONLine",
    "OpenAIChat",
    "OpenAIResponses",
    "Told",
    "dialect_for",
]

_EVENT_STREAM: Final = "text/event-stream"
_DONE: Final = b"data: [DONE]\n\n"

# The types of https://platform.openai.com/docs/guides/error-codes and of the bodies that come with them.
_OPENAI_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
# `anthropic.types.shared.ErrorType` 2.12, by the statuses of https://docs.anthropic.com/en/api/errors.
_ANTHROPIC_TYPES: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


@final
class OpenAIChat:
    """Chat completions: data without an event's name, {"error": {"message", "type", "param", "code"}}.

    Args:
        done: end completed streams with `data: [DONE]`, for sources that do not yield it. Default: False, as
            those that pass on OpenAI's own chunks do.
    """

    __slots__ = ("done",)

    name: Final = "openai-chat"
    media_type: Final = _EVENT_STREAM
    done: Final[bytes]

    def __init__(self, *, done: bool = False) -> None:
        self.done = _DONE if done else b""

    def frame(self, told: Told) -> bytes:
        """One event. No `[DONE]` after it, which would say that all is well."""
        return block(told, self.body(told))

    def body(self, told: Told) -> object:
        """The object that OpenAI's clients make their `APIStatusError` of; `ref` is endwell's own."""
        return {"error": _openai_error(told)}


@final
class OpenAIResponses:
    """The responses API: an event named `error`, its type said again in its data, beside a nested error.

    The flat form that OpenAI's own types describe passes for an ordinary event with its Python client.
    """

    __slots__ = ()

    name: Final = "openai-responses"
    media_type: Final = _EVENT_STREAM
    done: Final = b""

    def frame(self, told: Told) -> bytes:
        """One event, numbered as if every chunk before it had been one."""
        said = {"type": "error", "error": _openai_error(told), "sequence_number": told.chunks}
        return block(told, said, event="error")

    def body(self, told: Told) -> object:
        """As with chat completions."""
        return {"error": _openai_error(told)}


@final
class Anthropic:
    """The messages API: an event `error`, {"type": "error", "error": {"type", "message"}, "request_id"}."""

    __slots__ = ()

    name: Final = "anthropic"
    media_type: Final = _EVENT_STREAM
    done: Final = b""

    def frame(self, told: Told) -> bytes:
        """One event. Its name is what the clients look at: without one they pass it over."""
        return block(told, self.body(told), event="error")

    def body(self, told: Told) -> object:
        """The same object as in the frame; `code` is endwell's own, and its `ref` is the `request_id`."""
        kind = _kind(told.status, _ANTHROPIC_TYPES, otherwise="api_error")
        error = {"type": kind, "message": told.message, "code": told.code}
        return {"type": "error", "error": error, "request_id": told.ref}


@final
class AISDK:
    """The AI SDK's UI message stream, version 1: {"type": "error", "errorText"}, and nothing besides.

    Versions 5.0 and 6.0 of the client refuse a part that has more to it, so the reference stands in the text.
    """

    __slots__ = ()

    name: Final = "ai-sdk"
    media_type: Final = _EVENT_STREAM
    done: Final = b""

    def frame(self, told: Told) -> bytes:
        """One event."""
        text = f"{told.message} (ref {told.ref})" if told.ref else told.message
        return block(told, {"type": "error", "errorText": text})

    def body(self, told: Told) -> object:
        """The generic object: `useChat` shows an HTTP error's whole body as the message."""
        return {"error": error_object(told)}


@final
class AGUI:
    """The AG-UI protocol: a RUN_ERROR event, which ends a run."""

    __slots__ = ()

    name: Final = "ag-ui"
    media_type: Final = _EVENT_STREAM
    done: Final = b""

    def frame(self, told: Told) -> bytes:
        """One event; the reference is in `rawEvent`, the protocol's place for what is not its own."""
        said = {"type": "RUN_ERROR", "message": told.message, "code": told.code}
        return block(told, {**said, "rawEvent": {"ref": told.ref}})

    def body(self, told: Told) -> object:
        """The generic object: the protocol has none."""
        return {"error": error_object(told)}


def _openai_error(told: Told) -> dict[str, str | None]:
    kind = _kind(told.status, _OPENAI_TYPES, otherwise="server_error")
    return {"message": told.message, "type": kind, "param": None, "code": told.code, "ref": told.ref}


def _kind(status: int, by_status: Mapping[int, str], *, otherwise: str) -> str:
    """The type by which an API names a status; its type for wrong requests stands for the rest below 500."""
    client_error = 400 <= status < 500  # noqa: PLR2004
    return by_status.get(status, "invalid_request_error" if client_error else otherwise)


# --------------------------------------------------------------------------------------- which one it is

_ALL: Final[tuple[Dialect, ...]] = (
    Generic(),
    OpenAIChat(),
    OpenAIResponses(),
    Anthropic(),
    AISDK(),
    AGUI(),
    NDJSONLine(),
)
_BY_NAME: Final = {dialect.name: dialect for dialect in _ALL}
_MEMBERS: Final = {"name": str, "media_type": str, "done": bytes}
_METHODS: Final = ("frame", "body")


def dialect_for(choice: str | Dialect, format: Format) -> Dialect:  # noqa: A002 - the field's own word
    """The dialect that `choice` names or is, checked to be one that `format` can carry.

    Args:
        choice: "generic", "openai-chat", "openai-responses", "anthropic", "ai-sdk", "ag-ui", "ndjson", or an
            object with the members of `Dialect`.
        format: what the response is made of.

    Raises:
        ConfigurationError: there is no such name; the object lacks a member, or has one of a wrong type; the
            dialect belongs to another Content-Type.
    """
    dialect = _named(choice) if isinstance(choice, str) else _checked(choice)
    wanted, given = _essence(dialect.media_type), _essence(format.media_type)
    if wanted != given:
        raise ConfigurationError(f"dialect {dialect.name!r} is for {wanted}, but the response is {given}")
    return dialect


def _named(name: str) -> Dialect:
    if (dialect := _BY_NAME.get(name)) is not None:
        return dialect
    nearest = difflib.get_close_matches(name, sorted(_BY_NAME), n=1, cutoff=0)[0]
    raise ConfigurationError(f"there is no dialect {name!r}; did you mean {nearest!r}?")


def _checked(dialect: Dialect) -> Dialect:
    if isinstance(dialect, type):
        raise ConfigurationError(f"dialect must be an instance, not the class itself: {dialect.__name__}()")
    who = f"dialect {type(dialect).__name__!r}"
    for member, kind in _MEMBERS.items():
        if not isinstance(value := getattr(dialect, member, None), kind):
            raise ConfigurationError(f"{who}: {member} must be {kind.__name__}, not {type(value).__name__}")
    for method in _METHODS:
        if not callable(getattr(dialect, method, None)):
            raise ConfigurationError(f"{who} has no method {method}(told)")
    return dialect


def _essence(media_type: str) -> str:
    """The type/subtype of a Content-Type, without parameters and in small letters."""
    return media_type.partition(";")[0].strip().lower()
