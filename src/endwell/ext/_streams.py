"""The streams of one application: its defaults, its decorators, its endings."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, Literal, ParamSpec, TypeAlias, TypedDict, TypeVar, Unpack, overload

from starlette.responses import Response

from endwell.asgi import on_shutdown_signal
from endwell.engine import DEFAULT_SIZE, UNATTENDED, VANISHED, Busy, Registry, Snapshot, Watchdog
from endwell.errors import ConfigurationError
from endwell.ext._endpoints import Call, endpoint_for, resolve
from endwell.ext._openapi import STREAM_MARK, StreamMark, document
from endwell.ext._responses import (
    STATE_KEY,
    ByteStream,
    EventStream,
    NDJSONStream,
    StreamResponse,
    check_callback,
    check_policy,
    check_status,
    effective_route,
)
from endwell.observe import Callback
from endwell.settings import Policy, check_count, check_duration, check_known
from endwell.types import Source
from endwell.wire import NDJSON, SSE, Dialect, dialect_for

P = ParamSpec("P")
C = TypeVar("C", bound=Callback)

Generating: TypeAlias = Callable[P, Source]
Endpoint: TypeAlias = Callable[P, Awaitable[StreamResponse]]
Lifespan: TypeAlias = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any] | None]]
ComposedLifespan: TypeAlias = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any]]]


class EndpointOptions(TypedDict, total=False):
    """The options of a streaming endpoint's decorator."""

    status: int
    headers: Mapping[str, str] | None
    policy: Policy | None
    on_end: Callback | None
    dialect: str | Dialect | None


class StreamsOptions(TypedDict, total=False):
    """The options of `Streams`."""

    policy: Policy | None
    dialect: str | Dialect | None
    vanished: float | None
    unattended: int
    threads: int
    watchdog: float | None


class Streams:
    """The streams of one application.

    ```python
    streams = Streams()
    app = FastAPI(lifespan=streams.lifespan)
    ```

    Args:
        policy: Durations for every stream that has no policy of its own; `Policy()` by default.
        dialect: How clients are told of an end that is none, wherever it fits the format; see
            `StreamResponse`.
        vanished: Seconds in which the kernel is to find a client that vanished without a word, idle or not:
            keepalive and `TCP_USER_TIMEOUT` on the server's sockets, so for every connection of the process.
            Default 30; None leaves the system's own settings (15 minutes, or never). Linux only.
        unattended: How many sources may go on without their clients at once (`Policy.on_leave`). Default 100.
        threads: How many sync sources may run at once, each in a thread of its own; others wait. Default 256.
        watchdog: Report it, with the line, when the event loop was blocked for so many seconds. None is
            never; by default 1 in debug mode (FastAPI's, Starlette's or asyncio's), else never.

    Raises:
        ConfigurationError: A value is out of its bounds; the message names it.
        TypeError: An unknown option; the message names the nearest one.
    """

    def __init__(self, **options: Unpack[StreamsOptions]) -> None:
        for name in options:
            check_known(name, StreamsOptions.__annotations__, "Streams")
        vanished = options.get("vanished", VANISHED)
        unattended, threads = options.get("unattended", UNATTENDED), options.get("threads", DEFAULT_SIZE)
        check_duration("vanished", vanished, optional=True)
        check_count("unattended", unattended)
        check_count("threads", threads)
        self._registry = Registry(
            check_policy(options.get("policy")) or Policy(),
            dialect=_check_dialect(options.get("dialect")),
            vanished=vanished,
            unattended=unattended,
            threads=threads,
        )
        self._watchdog: float | Literal["in debug mode"] | None = "in debug mode"
        if "watchdog" in options:
            self._watchdog = _check_threshold(options["watchdog"])

    @property
    def policy(self) -> Policy:
        """The application's durations."""
        return self._registry.policy

    # -- endpoints ---------------------------------------------------------------------------------------

    @overload
    def sse(self, function: Generating[P], /) -> Endpoint[P]: ...
    @overload
    def sse(
        self, /, *, resume_token: bool = ..., **options: Unpack[EndpointOptions]
    ) -> Callable[[Generating[P]], Endpoint[P]]: ...
    def sse(self, function: Any = None, /, **options: Any) -> Any:
        """Make a generator endpoint a stream of server-sent events.

        With or without parentheses, below the route's own decorator. Parameters, dependencies and validation
        work as on any endpoint; dependencies with `yield` leave after the source's cleanup.

        Args:
            function: An async or sync generator function.
            **options: `policy`, `status`, `headers`, `on_end`, `dialect` and `resume_token`, as `EventStream`
                has them.

        Raises:
            TypeError: `function` is no generator function; raised when the module is imported.
        """
        return self._decorate(function, EventStream, options)

    @overload
    def ndjson(self, function: Generating[P], /) -> Endpoint[P]: ...
    @overload
    def ndjson(
        self, /, *, heartbeat: bool = ..., **options: Unpack[EndpointOptions]
    ) -> Callable[[Generating[P]], Endpoint[P]]: ...
    def ndjson(self, function: Any = None, /, **options: Any) -> Any:
        """Make a generator endpoint a stream of JSON lines.

        Args:
            function: An async or sync generator function.
            **options: As for `sse`, and `heartbeat` as `NDJSONStream` has it.

        Raises:
            TypeError: `function` is no generator function; raised when the module is imported.
        """
        return self._decorate(function, NDJSONStream, options)

    @overload
    def bytes(self, function: Generating[P], /) -> Endpoint[P]: ...
    @overload
    def bytes(
        self, /, *, media_type: str = ..., **options: Unpack[EndpointOptions]
    ) -> Callable[[Generating[P]], Endpoint[P]]: ...
    def bytes(self, function: Any = None, /, **options: Any) -> Any:
        """Make a generator endpoint a stream of bytes, or of text as UTF-8.

        Args:
            function: An async or sync generator function.
            **options: As for `sse`, and `media_type` as `ByteStream` has it.

        Raises:
            TypeError: `function` is no generator function; raised when the module is imported.
        """
        return self._decorate(function, ByteStream, options)

    def _decorate(self, function: Any, response: type[StreamResponse], options: dict[str, Any]) -> Any:
        _check_options(response, options)
        if function is not None:
            return self._endpoint(function, response, options)
        return lambda function: self._endpoint(function, response, options)

    def _endpoint(
        self, function: Callable[..., Any], response: type[StreamResponse], options: dict[str, Any]
    ) -> Any:
        _check_generator(function)
        make: Callable[..., StreamResponse] = response

        async def answer(call: Call) -> StreamResponse:
            stream = make(function(*call.args, **call.kwargs), **{**_route_options(call), **options})
            _take_over(call.response, stream)
            stream.attach(self._registry, call.request)
            return stream

        endpoint = endpoint_for(function, answer, returns=response)
        annotation = resolve(function, inspect.signature(function).return_annotation)
        setattr(endpoint, STREAM_MARK, StreamMark.of(response, annotation, options))
        return endpoint

    # -- endings -----------------------------------------------------------------------------------------

    def on_end(self, callback: C) -> C:
        """Tell `callback` of every ending, each once. `async def` runs on the event loop, `def` in a thread.

        Nobody waits for it: one that raises is logged, one that takes longer than the policy's `cleanup` is
        reported.

        Raises:
            ConfigurationError: It cannot be called.
        """
        self._registry.callbacks.extend(check_callback(callback))
        return callback

    def active(self) -> list[Snapshot]:
        """Snapshots of all live streams, oldest first."""
        return self._registry.active()

    def threads(self) -> Busy:
        """How many sync sources run in a thread, wait for one, or were let go and hang in theirs."""
        pool = self._registry.pool
        assert pool is not None
        return pool.busy()

    def stop(self, stream_id: str, reason: str | None = None) -> bool:
        """End one stream as `stopped`; from any thread, so from a sync endpoint too.

        Returns:
            False if there is no live stream with this id, or it was ending already.
        """
        stream = self._registry.get(stream_id)
        return stream is not None and stream.stop_from_anywhere(reason)

    # -- the application's life --------------------------------------------------------------------------

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[dict[str, Any]]:
        """Documents the application's streams, drains them at SIGTERM and SIGINT, and waits for their end.

        Streams are told at the signal, not at lifespan shutdown, which servers begin only when streams are
        over.
        """
        document(app)
        self._registry.open()
        with on_shutdown_signal(self._registry.drain):
            async with self._watching(app):
                try:
                    yield {STATE_KEY: self._registry}
                finally:
                    self._registry.drain()
                    await self._registry.settle(self.policy.drain)

    def _watching(self, app: Any) -> AbstractAsyncContextManager[object]:
        threshold = self._watchdog
        if threshold == "in debug mode":
            is_debug = getattr(app, "debug", False) or asyncio.get_running_loop().get_debug()
            threshold = 1.0 if is_debug else None
        return nullcontext() if threshold is None else Watchdog(threshold)

    def compose(self, lifespan: Lifespan) -> ComposedLifespan:
        """Return a lifespan with `lifespan` around this one: its shutdown comes after the streams' end."""

        @asynccontextmanager
        async def composed(app: Any) -> AsyncIterator[dict[str, Any]]:
            async with lifespan(app) as state, self.lifespan(app) as own:
                yield {**(state or {}), **own}

        return composed

    def document(self, app: Any) -> None:
        """Have FastAPI's OpenAPI describe the streams; needed only for a schema made without running it."""
        document(app)


_OWN: Mapping[type[StreamResponse], frozenset[str]] = {
    EventStream: frozenset({"resume_token"}),
    NDJSONStream: frozenset({"heartbeat"}),
    ByteStream: frozenset({"media_type"}),
}


def _check_dialect(dialect: Any) -> Dialect | None:
    """Fail when the application is made for a dialect that no format can carry."""
    if dialect is None:
        return None
    try:
        return dialect_for(dialect, SSE())
    except ConfigurationError:
        return dialect_for(dialect, NDJSON())


def _check_threshold(value: Any) -> float | None:
    if value is not None:
        Watchdog(value)  # raises for what it could not watch for
    return value  # type: ignore[no-any-return]


def _check_options(response: type[StreamResponse], options: dict[str, Any]) -> None:
    """Fail at import for what would fail at the first request: by making a response with these options."""
    for name in options:
        check_known(name, _OWN[response] | EndpointOptions.__annotations__.keys(), "a streaming endpoint")
    make: Callable[..., StreamResponse] = response
    make((), **options)


def _route_options(call: Call) -> dict[str, Any]:
    """What the route's own decorator says: FastAPI's `status_code`."""
    status = getattr(effective_route(call.request.scope), "status_code", None) if call.request else None
    return {} if status is None else {"status": status}


def _take_over(told: Response | None, stream: StreamResponse) -> None:
    """Give the stream the headers, cookies and status that dependencies set, as FastAPI does with its own."""
    if told is None:
        return
    stream.raw_headers.extend(told.raw_headers)
    if told.status_code:
        stream.status_code = check_status(told.status_code)


def _check_generator(function: Any) -> None:
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        return
    name = getattr(function, "__qualname__", repr(function))
    raise TypeError(f"a streaming endpoint must be a generator function (with yield), {name} is none")
