"""Streams as Starlette responses: return one from an endpoint, or call it as a bare ASGI application."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict, Unpack

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from endwell.asgi import Plan, Pump, respond
from endwell.engine import Registry, SourceHandle
from endwell.errors import ConfigurationError
from endwell.ext._endpoints import share
from endwell.observe import Callback
from endwell.settings import Policy, check_known
from endwell.types import Source
from endwell.wire import NDJSON, SSE, Format, Raw

STATE_KEY = "endwell"
"""Where `Streams.lifespan` leaves the application's registry in `scope["state"]`."""

_HEADERS = {
    # A stream is nobody's to store.
    "cache-control": "no-store",
    # nginx would collect the body in its buffers, events and all.
    "x-accel-buffering": "no",
    # Compressing middlewares and nginx hold chunks back until their window fills; they leave encoded bodies
    # alone.
    "content-encoding": "identity",
}
_DEFAULTS = Policy()
_BYTES = "application/octet-stream"
_WITH_BODY = frozenset(range(200, 600)) - {204, 205, 304}


class StreamOptions(TypedDict, total=False):
    """The options of every streaming response; `StreamResponse` says what they mean."""

    status: int
    headers: Mapping[str, str] | None
    policy: Policy | None
    owns: Iterable[Any]
    on_end: Callback | None
    background: BackgroundTask | None


class StreamResponse(Response):
    """What the three kinds of streaming responses have in common.

    Args:
        source: What produces the chunks: an async generator or iterable, or a sync one, which runs in a
            thread.
        format: How chunks become bytes.
        status: The HTTP status; 200 to 599, and one that has a body.
        headers: Headers to add, or to put in the place of the defaults.
        policy: Durations; by default those of the application's `Streams`, or `Policy()`.
        owns: Resources to release with the stream, in reverse order, even if the source never starts.
        on_end: Told of the ending, once.
        background: Starlette's background task, run when the stream is over.

    Raises:
        ConfigurationError: `status` or a header cannot be sent.
        SourceInUse: `source` was given to a response before.
        TypeError: `source` cannot produce chunks.
    """

    def __init__(
        self,
        source: Source,
        *,
        format: Format,  # noqa: A002 - the field's own word
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        policy: Policy | None = None,
        owns: Iterable[Any] = (),
        on_end: Callback | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        _check_status(status)
        self.status_code = status
        self.media_type = format.media_type
        self.background = background
        self.init_headers({**_HEADERS, **_lowered(headers or {})})
        self._format = format
        self._policy = policy
        self._owns = tuple(owns)
        self._callbacks = () if on_end is None else (on_end,)
        self._registry: Registry | None = None
        self._request: Request | None = None
        self._source = SourceHandle(source)

    def attach(self, registry: Registry, request: Request | None) -> None:
        """Make it a stream of `registry`, answering `request`."""
        self._registry = registry
        self._request = request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the stream, to its end."""
        pump = Pump(receive)
        if self._request is not None:
            share(self._request, pump)
        await respond(self._plan(scope), scope, pump, send)
        if self.background is not None:
            await self.background()

    def _plan(self, scope: Scope) -> Plan:
        registry = self._registry or scope.get("state", {}).get(STATE_KEY)
        policy = self._policy or (registry.policy if registry is not None else _DEFAULTS)
        return Plan(
            source=self._source,
            format=self._format,
            status=self.status_code,
            headers=self.raw_headers,
            policy=policy,
            route=route_of(scope),
            owns=self._owns,
            callbacks=self._callbacks,
            registry=registry,
        )


class EventStream(StreamResponse):
    """Server-sent events.

    A `str` is the event's data as it is, an `Event` has its fields, anything else is JSON. The arguments are
    `StreamResponse`'s, without `format`.
    """

    media_type = SSE.media_type

    def __init__(self, source: Source, **options: Unpack[StreamOptions]) -> None:
        super().__init__(source, format=SSE(), **options)


class NDJSONStream(StreamResponse):
    """One JSON document a line (application/x-ndjson).

    Args:
        heartbeat: Send a blank line when nothing was written for the policy's `heartbeat`. Off by default:
            not every
            parser skips blank lines.

    The other arguments are `StreamResponse`'s, without `format`.
    """

    media_type = NDJSON.media_type

    def __init__(self, source: Source, *, heartbeat: bool = False, **options: Unpack[StreamOptions]) -> None:
        super().__init__(source, format=NDJSON(heartbeat=heartbeat), **options)


class ByteStream(StreamResponse):
    """Bytes, or text as UTF-8, as they come. Such a body has no way to say how it ended: a failure cuts it.

    Args:
        media_type: The content type.

    The other arguments are `StreamResponse`'s, without `format`.
    """

    media_type = _BYTES

    def __init__(
        self,
        source: Source,
        *,
        media_type: str = _BYTES,
        **options: Unpack[StreamOptions],
    ) -> None:
        super().__init__(source, format=Raw(media_type), **options)


def route_of(scope: Scope) -> str:
    """The route's template: a closed set of labels, whatever paths clients ask for."""
    context = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    template = getattr(context, "path_format", None)
    if isinstance(template, str):
        return template
    return getattr(scope.get("endpoint"), "__qualname__", "")


def check_options(options: Mapping[str, Any], response: type[StreamResponse]) -> None:
    """Check an endpoint's options when it is decorated, not at its first request.

    Raises:
        ConfigurationError: One has a value that cannot be sent.
        TypeError: One is unknown; the message names the nearest.
    """
    own = inspect.signature(response.__init__).parameters.keys() - {"self", "source", "options"}
    for name in options:
        check_known(name, own | StreamOptions.__annotations__.keys(), "a streaming endpoint")
    _check_status(options.get("status", 200))
    _lowered(options.get("headers") or {})


def _check_status(status: Any) -> None:
    is_number = isinstance(status, int) and not isinstance(status, bool)
    if not is_number or status not in _WITH_BODY:
        raise ConfigurationError(f"status must be from 200 to 599 and have a body, got {status!r}")


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if any(character in "\r\n\0" for character in name + value):
            raise ConfigurationError(f"header {name!r} must not have CR, LF or NUL in it, got {value!r}")
    return {name.lower(): value for name, value in headers.items()}
