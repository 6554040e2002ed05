"""The streams of one application: its defaults, its decorators, its endings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from typing import Any, Literal, ParamSpec, TypeAlias, TypedDict, TypeVar, Unpack, overload

from starlette.requests import Request
from starlette.responses import Response

from endwell.asgi import Departure
from endwell.engine import DEFAULT_SIZE, UNATTENDED, VANISHED, Busy, Registry, Snapshot, Stopping, Watchdog
from endwell.errors import ConfigurationError
from endwell.ext._checks import check_callback, check_header, check_policy
from endwell.ext._openapi import document
from endwell.ext._operations import readiness, stop_app
from endwell.ext._responses import (
    STATE_KEY,
    ByteStream,
    EventStream,
    NDJSONStream,
    StreamResponse,
)
from endwell.ext._streaming import EndpointOptions, check_options, streaming_endpoint
from endwell.observe import Callback, logger
from endwell.settings import Deployment, Limits, Policy, check_count, check_duration, check_known
from endwell.types import ASGIApp, Source
from endwell.wire import NDJSON, SSE, Dialect, dialect_for

P = ParamSpec("P")
C = TypeVar("C", bound=Callback)
T = TypeVar("T")

Generating: TypeAlias = Callable[P, Source]
Endpoint: TypeAlias = Callable[P, Awaitable[StreamResponse]]
Lifespan: TypeAlias = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any] | None]]
ComposedLifespan: TypeAlias = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any]]]


class StreamsOptions(TypedDict, total=False):
    """The options of `Streams`."""

    policy: Policy | None
    dialect: str | Dialect | None
    vanished: float | None
    unattended: int
    threads: int
    watchdog: float | None
    limits: Limits | None
    id_header: str | None
    deployment: Deployment | None


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
        limits: How many streams there may be at once. None (default) for no limit.
        id_header: The header in which each response names its stream's id, for a stop button: "Stream-Id".
            None (default) for none.
        deployment: What surrounds the process when it goes away. What does not fit it is a warning in the log
            when the application starts.

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
            limits=_check_kind("limits", options.get("limits"), Limits),
            id_header=_check_id_header(options.get("id_header")),
        )
        self._deployment = _check_kind("deployment", options.get("deployment"), Deployment)
        self._departure = Departure(self._registry.drain, self._registry.hurry, hold=self.policy.drain)
        self._registry.watch = self._departure
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lifespans = 0
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
                has them; `owner` too, which may be a function of the request, sync or async; and `limits`,
                which this endpoint has besides the application's.

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
        check_options(response, options)
        limits = options.pop("limits", None)
        own = None if limits is None else self._registry.add_gate(limits)
        gates = tuple(gate for gate in (self._registry.gate, own) if gate is not None)

        def decorate(function: Callable[..., Any]) -> Any:
            return streaming_endpoint(function, response, options, self._registry, gates)

        return decorate if function is None else decorate(function)

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

    # -- who is alive ------------------------------------------------------------------------------------

    def active(self) -> list[Snapshot]:
        """Snapshots of all live streams, oldest first."""
        return self._registry.active()

    def get(self, stream_id: str) -> Snapshot | None:
        """A snapshot of the live stream with this id; None if there is none."""
        return self._registry.get(stream_id)

    def threads(self) -> Busy:
        """How many sync sources run in a thread, wait for one, or were let go and hang in theirs."""
        pool = self._registry.pool
        assert pool is not None
        return pool.busy()

    def stop(self, stream_id: str, reason: str | None = None, *, wait: float | None = None) -> Stopping:
        """End one stream as `stopped`; from any thread, so from a sync endpoint too.

        The stream is told before this returns, and its client that it was stopped.

        Args:
            stream_id: The stream.
            reason: For its ending.
            wait: Seconds for which to wait at most if the answer is awaited; None (default) for as long as
                the stream's cleanup may take.

        Returns:
            What it comes to, at once: true if the stream ends because of it, and `.result` is "stopped",
            "already_ended" or "unknown". Await it to wait until the stream's cleanup is over; on the stream's
            own event loop, that is: on another it does not wait.

        Raises:
            TypeError: `reason` is no text.
            ConfigurationError: `wait` is no number of seconds.
        """
        check_duration("wait", wait, optional=True, zero=True)
        return self._registry.stop(stream_id, reason, wait=wait)

    def stop_all(self, where: Callable[[Snapshot], bool] | None = None, reason: str | None = None) -> int:
        """End all live streams, or those of which `where` says so, as `stopped`; from any thread.

        ```python
        streams.stop_all(lambda stream: stream.owner == user.id, reason="logged out")
        ```

        Returns:
            How many end because of it.
        """
        return self._registry.stop_all(where, reason)

    def stop_endpoint(
        self, *, owner: Callable[[Request], Any] | None = None, wait: float | None = None
    ) -> ASGIApp:
        """Return an application to mount, for a stop button: `POST /{id}/stop`.

        Whoever may not stop a stream is answered as if there were none: 404. A stream without an owner may be
        stopped by whoever knows its id.

        Args:
            owner: Says who asks, to be compared with the stream's `owner`; may be async, and may raise an
                HTTPException. None: streams that have an owner cannot be stopped here.
            wait: Seconds for which the answer may wait for the stream's cleanup; None answers at once.

        Raises:
            ConfigurationError: `owner` cannot be called, or `wait` is no number of seconds above 0.
        """
        return stop_app(self._registry, owner, wait)

    # -- the application's life --------------------------------------------------------------------------

    @property
    def draining(self) -> bool:
        """The process is going away: new streams are turned away."""
        return self._registry.draining

    async def drain(self) -> None:
        """End every stream in good order, and turn new ones away, as at SIGTERM; return when all is over.

        That takes as long as the policy's `drain` at most. Streams are welcome again when the application's
        lifespan begins anew. Not to be awaited by a source: it would wait for itself.

        Raises:
            ConfigurationError: It is called on another event loop than that of the application's lifespan.
        """
        self._check_loop("drain() is for the application's own event loop: use run_coroutine_threadsafe")
        self._registry.drain()
        await self._registry.drained()

    async def readiness(self, request: Request) -> Response:
        """An endpoint for a readiness probe: 200, or 503 from the moment on in which a drain begins.

        ```python
        app.add_route("/ready", streams.readiness)
        ```
        """
        return readiness(self._registry, request)

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[dict[str, Any]]:
        """Documents the application's streams, drains them at SIGTERM and SIGINT, and waits for their end.

        Streams are told at the signal, not at lifespan shutdown, which servers begin only when streams are
        over. Where several servers share it on one event loop, the first to begin begins it, and the last to
        end ends it.

        Raises:
            ConfigurationError: It runs in another event loop already: another thread's server has it.
        """
        self._check_loop("this Streams runs in another event loop already: make one for each server")
        document(app)
        if not self._lifespans:
            await self._begin(app)
        self._lifespans += 1
        try:
            yield {STATE_KEY: self._registry}
        finally:
            self._lifespans -= 1
            if not self._lifespans:
                await self._end()

    async def _begin(self, app: Any) -> None:
        self._loop = asyncio.get_running_loop()
        self._registry.open()
        for problem in self._deployment.problems(self.policy) if self._deployment else ():
            logger.warning("deployment: %s", problem)
        self._while_it_lives = AsyncExitStack()
        self._while_it_lives.enter_context(self._departure.watching())
        await self._while_it_lives.enter_async_context(self._watching(app))

    async def _end(self) -> None:
        try:
            await self.drain()
        finally:
            self._loop = None
            await self._while_it_lives.aclose()

    def _check_loop(self, problem: str) -> None:
        if (
            self._loop is not None
            and self._loop is not asyncio.get_running_loop()
            and self._loop.is_running()
        ):
            raise ConfigurationError(problem)

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


def _check_kind(name: str, value: Any, kind: type[T]) -> T | None:
    if value is not None and not isinstance(value, kind):
        raise ConfigurationError(f"{name} must be {kind.__name__}, or None; got {value!r}")
    return value


def _check_id_header(name: Any) -> bytes | None:
    return None if name is None else check_header(name, "").encode()
