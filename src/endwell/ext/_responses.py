"""Streams as Starlette responses: return one from an endpoint, or call it as a bare ASGI application."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypedDict, Unpack

from starlette.background import BackgroundTask
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from endwell.asgi import CLIENT_CLOSED_REQUEST, Entry, Plan, Pump, refusal_headers, rejection_of, respond
from endwell.engine import Asker, Gate, Registry, Release, SourceHandle, releaser
from endwell.errors import ClientError, ConfigurationError
from endwell.ext._checks import check_callback, check_headers, check_policy, check_status
from endwell.ext._dependencies import tell_dependencies
from endwell.ext._endpoints import share
from endwell.lifecycle import Cause
from endwell.observe import Callback
from endwell.settings import Policy, check_known
from endwell.types import Source
from endwell.wire import (
    AGUI,
    AISDK,
    NDJSON,
    SSE,
    Anthropic,
    Dialect,
    Format,
    OpenAIChat,
    OpenAIResponses,
    Raw,
    dialect_for,
)

STATE_KEY = "endwell"
"""Where `Streams.lifespan` leaves the application's registry in `scope["state"]`."""
ENTRY_KEY = "endwell.entry"
"""Where a request that was let in before its endpoint's dependencies has its entry, in the scope."""

_HEADERS = {
    # A stream is nobody's to store; nor to compress on the way, as compressors hold chunks back (RFC 9111,
    # 5.2.2.6): haproxy, Caddy and Cloudflare obey it.
    "cache-control": "no-store, no-transform",
    # nginx would collect the body in its buffers, events and all.
    "x-accel-buffering": "no",
    # nginx's and Starlette's compression look at nothing else (RFC 9110, 8.4 advises against it).
    "content-encoding": "identity",
}
_DEFAULTS = Policy()
_NOT_FOR_EVENT_SOURCE = (OpenAIChat, OpenAIResponses, Anthropic, AISDK, AGUI)
_BYTES = "application/octet-stream"
# Formats hold no state, so that one of each kind is enough.
_EVENTS = SSE()
_LINES = (NDJSON(heartbeat=False), NDJSON(heartbeat=True))
_OCTETS = Raw(_BYTES)


class StreamOptions(TypedDict, total=False):
    """The options of every streaming response; `StreamResponse` says what they mean."""

    status: int
    headers: Mapping[str, str] | None
    policy: Policy | None
    owns: Iterable[Any]
    on_end: Callback | None
    background: BackgroundTask | None
    request: Request | None
    dialect: str | Dialect | None
    owner: Any


def _callbacks(on_end: Any) -> tuple[Callback, ...]:
    return () if on_end is None else check_callback(on_end)


def _releasers(owns: Iterable[Any]) -> tuple[Release, ...]:
    return tuple([releaser(resource) for resource in owns])


_SETTINGS: Mapping[str, tuple[str, Callable[[Any], Any] | None]] = {
    "status": ("status_code", check_status),
    "policy": ("_policy", check_policy),
    "owns": ("_owns", _releasers),
    "on_end": ("_callbacks", _callbacks),
    "background": ("background", None),
    "request": ("_request", None),
    "owner": ("_owner", None),
}
"""Where an option is kept, and what checks it, of those that need no more than their value."""


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
        background: Starlette's background task, run when the stream is over, unless it failed.
        request: The request that is answered, if the source asks it: `request.is_disconnected()` and reading
            its body share the stream's own reader then. Two readers lose messages on hypercorn and daphne.
        dialect: How the client is told of an end that is none: "generic", "openai-chat", "openai-responses",
            "anthropic", "ai-sdk", "ag-ui", "ndjson", or an object with the members of `Dialect`. By default
            that of the application's `Streams` where it fits the format, or else the format's own; bytes have
            none, and are cut.
        owner: Who may stop the stream through a `Streams.stop_endpoint`, besides the application: whatever
            that endpoint's own `owner` gives. None (default): whoever knows its id.

    Raises:
        ConfigurationError: An option has a value that cannot be used; the message names it.
        NotReleasable: `owns` has something in it that nothing can release.
        SourceInUse: `source` was given to a response before.
        TypeError: `source` cannot produce chunks, or an option is unknown.
    """

    # What is not given is the class's: a response holds no more than what makes it another than the rest.
    status_code = 200
    background: BackgroundTask | None = None
    _format: Format
    _own_headers: list[tuple[bytes, bytes]] | None = None
    _resumable = False
    _dialect: Dialect | None = None
    _policy: Policy | None = None
    _callbacks: tuple[Callback, ...] = ()
    _owns: tuple[Release, ...] = ()
    _request: Request | None = None
    _owner: Any = None
    _registry: Registry | None = None
    _gates: tuple[Gate, ...] | None = None

    def __init__(
        self,
        source: Source,
        *,
        format: Format,  # noqa: A002 - the field's own word
        **options: Unpack[StreamOptions],
    ) -> None:
        self._format = format
        if format.media_type != self.media_type:
            self.media_type = format.media_type
        if options:
            self._set(options)
        self._source = SourceHandle(source)

    def _set(self, options: StreamOptions) -> None:
        for name, value in options.items():
            if name in _SETTINGS:
                attribute, check = _SETTINGS[name]
                setattr(self, attribute, value if check is None else check(value))
            elif name == "headers":
                if value is not None:
                    self.init_headers({**_HEADERS, **check_headers(value)})
            elif name == "dialect":
                dialect = options["dialect"]
                self._dialect = None if dialect is None else dialect_for(dialect, self._format)
            else:
                check_known(name, StreamOptions.__annotations__, type(self).__name__)

    @property
    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers as ASGI has them: this response's own from when somebody asks for them.

        Until then they are those of all of its kind.
        """
        if self._own_headers is None:
            self._own_headers = list(_default_headers(self._format.media_type))
        return self._own_headers

    @raw_headers.setter
    def raw_headers(self, headers: list[tuple[bytes, bytes]]) -> None:
        self._own_headers = headers

    def attach(self, registry: Registry, request: Request | None, gates: tuple[Gate, ...] = ()) -> None:
        """Make it a stream of `registry`, answering `request`, behind these gates."""
        self._registry = registry
        self._request = request
        self._gates = gates

    def needs_a_source(self, scope: Scope) -> bool:
        """Whether such a response to this request needs its source at all."""
        asker = Asker(scope["method"], scope["headers"])
        return not (asker.wants_headers or (self._resumable and asker.has_seen_the_end))

    def turn_away(self, entry: Entry, scope: Scope) -> Response:
        """Answer a request that was not let in, before there is a source; and record it."""
        plan = self._plan(scope)
        assert plan.registry is not None
        rejection = rejection_of(plan, entry, Asker(scope["method"], scope["headers"]))
        plan.registry.tell(rejection.ending, [*plan.callbacks, *plan.registry.callbacks])
        if entry.refused is Cause.DISCONNECT:  # nobody hears it; but it is in somebody's log
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        refusal = rejection.refusal
        response = Response(refusal.body, refusal.status)
        # A list of its own: whoever stands in between may change it.
        response.raw_headers = [*self.raw_headers] if refusal.soft else refusal_headers(refusal)
        return response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the stream, to its end.

        Raises:
            SourceInUse: The response was served before, and its source is an iterator; nothing has been sent.
            Exception: What the source raised, but for a `ClientError`; see `endwell.asgi.respond`.
        """
        entry = scope.pop(ENTRY_KEY, None)
        try:
            await respond(self._plan(scope, entry), scope, self._pump(receive, entry), send)
        except ClientError as error:
            # The client has its answer. The server would take it for a crash; dependencies are to know.
            await tell_dependencies(scope, error)
            return
        if self.background is not None:
            await self.background()

    def _pump(self, receive: Receive, entry: Entry | None) -> Pump:
        if entry is not None and (entry.pump.running or entry.pump.gone):
            entry.pump.may_drop()  # the endpoint has read what it wanted
            return entry.pump
        pump = self._new_pump(receive)
        if entry is not None:
            entry.pump = pump
        return pump

    def _new_pump(self, receive: Receive) -> Pump:
        if self._request is None:
            return Pump(receive)
        # The one that has been reading for the handler goes on, if there is one: it may hold some of the
        # body.
        before = getattr(self._request.receive, "__self__", None)
        pump = before if isinstance(before, Pump) and not before.running else Pump(receive)
        share(self._request, pump)
        return pump

    def _plan(self, scope: Scope, entry: Entry | None = None) -> Plan:
        registry = self._registry or _registry_of(scope)
        source = self._source.for_request()
        plan = Plan(
            source,
            self._format,
            self.status_code,
            _default_headers(self._format.media_type) if self._own_headers is None else self._own_headers,
            self._policy or (_DEFAULTS if registry is None else registry.policy),
            route_of(scope),
            self._owns,
            self._callbacks,
            registry,
            self._dialect or self._dialect_of(registry),
        )
        if self._owns:
            self._owns = ()  # with the first stream, if the response is served again
        plan.resumable = self._resumable
        plan.owner = self._owner
        plan.entry = entry
        gates = self._gates
        if gates is None:
            gates = () if registry is None or registry.gate is None else (registry.gate,)
        if gates:
            plan.gates, plan.request = gates, _request(scope)
        return plan

    def _dialect_of(self, registry: Registry | None) -> Dialect | None:
        """The application's, where it fits. Bytes stay without: their source alone knows what they say."""
        dialect = None if registry is None else registry.dialect
        if dialect is None or isinstance(self._format, Raw) or dialect.media_type != self._format.media_type:
            return None
        return None if self._resumable and isinstance(dialect, _NOT_FOR_EVENT_SOURCE) else dialect


class EventStream(StreamResponse):
    """Server-sent events.

    A `str` is the event's data as it is, an `Event` has its fields, anything else is JSON.

    Args:
        resume_token: Keep a browser's `EventSource` from starting over what has come to its end. Events have
            ids; the first names a reconnection time, drawn from the policy's `retry`; a completed stream
            ends with an event named `end`; and a client that has seen the end of its stream (completed,
            stopped or failed) is answered with 204 when it comes back. What it has seen of one that was
            interrupted is `current_stream().last_event_id`. Default False.

    The other arguments are `StreamResponse`'s, without `format`.
    """

    media_type = SSE.media_type

    def __init__(
        self, source: Source, *, resume_token: bool = False, **options: Unpack[StreamOptions]
    ) -> None:
        if not isinstance(resume_token, bool):
            raise ConfigurationError(f"resume_token must be True or False, got {resume_token!r}")
        super().__init__(source, format=_EVENTS, **options)
        if resume_token:
            self._resume()

    def _resume(self) -> None:
        if isinstance(self._dialect, _NOT_FOR_EVENT_SOURCE):
            raise ConfigurationError(
                f"resume_token is for EventSource: to clients of {self._dialect.name!r} its end is no event"
            )
        self._resumable = True


class NDJSONStream(StreamResponse):
    """One JSON document a line (application/x-ndjson).

    Args:
        heartbeat: Send a blank line when nothing was written for the policy's `heartbeat`. Off by default:
            not every parser skips blank lines.

    The other arguments are `StreamResponse`'s, without `format`.
    """

    media_type = NDJSON.media_type

    def __init__(self, source: Source, *, heartbeat: bool = False, **options: Unpack[StreamOptions]) -> None:
        if not isinstance(heartbeat, bool):
            raise ConfigurationError(
                f"NDJSON's heartbeat must be True or False, got {heartbeat!r}; its interval is the policy's"
            )
        super().__init__(source, format=_LINES[heartbeat], **options)


class ByteStream(StreamResponse):
    """Bytes, or text as UTF-8, as they come. Such a body cannot say how it ended: a failure cuts it.

    Args:
        media_type: The content type.

    The other arguments are `StreamResponse`'s, without `format`.
    """

    media_type = _BYTES

    def __init__(self, source: Source, *, media_type: str = _BYTES, **options: Unpack[StreamOptions]) -> None:
        super().__init__(source, format=_OCTETS if media_type == _BYTES else Raw(media_type), **options)


@functools.lru_cache(maxsize=64)
def _default_headers(media_type: str) -> tuple[tuple[bytes, bytes], ...]:
    """The headers of a response that was given none: the same for each of its type."""
    blank = Response.__new__(Response)
    blank.media_type, blank.status_code = media_type, 200
    blank.init_headers(_HEADERS)
    return tuple(blank.raw_headers)


def _request(scope: Scope) -> HTTPConnection:
    """What a limit's key is asked of; a stream may be the denial of a WebSocket's handshake too."""
    return Request(scope) if scope["type"] == "http" else HTTPConnection(scope)


def _registry_of(scope: Scope) -> Registry | None:
    state = scope.get("state")
    return None if state is None else state.get(STATE_KEY)


def route_of(scope: Scope) -> str:
    """The route's template: a closed set of labels, whatever paths clients ask for."""
    route = effective_route(scope)
    if route is not None:
        template = getattr(route, "path_format", None)
        if isinstance(template, str):
            return template
    endpoint = scope.get("endpoint")
    return "" if endpoint is None else getattr(endpoint, "__qualname__", "")


def effective_route(scope: Scope) -> Any:
    """The route that answers; for an included router FastAPI keeps its own, with the prefix."""
    fastapi = scope.get("fastapi")
    context = None if fastapi is None else fastapi.get("effective_route_context")
    return context or scope.get("route")
