"""A stream as the response to one request."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

import anyio

from endwell.asgi._attend import attend
from endwell.asgi._connection import Headers, HTTPConnection
from endwell.asgi._pump import Pump
from endwell.engine import Asker, Registry, Release, SourceHandle, Stream, release_all, wait_out
from endwell.errors import StreamCut
from endwell.observe import Callback, logger
from endwell.settings import Policy
from endwell.types import Scope, Send
from endwell.wire import Dialect, Format, marks_the_end


@dataclass(slots=True, kw_only=True)
class Plan:
    """All that is decided of a streaming response before its request's `send` is known.

    Attributes:
        source: The source, taken over.
        format: How chunks become bytes.
        status: The HTTP status.
        headers: The headers, ready for ASGI.
        policy: Its durations.
        route: The route's template, for the ending.
        owns: What releases its resources, in the order they were given.
        callbacks: Told of the ending.
        registry: The application's streams; None for a stream on its own.
        dialect: How the client is told of an end that is none; None for the format's own.
        resumable: Number the events, and answer who has seen the end with 204.
    """

    source: SourceHandle
    format: Format
    status: int
    headers: Headers
    policy: Policy
    route: str
    owns: Sequence[Release]
    callbacks: Sequence[Callback]
    registry: Registry | None
    dialect: Dialect | None = None
    resumable: bool = False


async def respond(plan: Plan, scope: Scope, pump: Pump, send: Send) -> None:
    """Answer a request with a stream, and see it to its end.

    Raises:
        Exception: What the source raised: before the first chunk, so that the framework answers with a real
            HTTP error; after it, when the client was told, so that dependencies and middlewares see it too.
        StreamCut: The body had to be cut for another reason than an exception.
        CancelledError: The task was cancelled from outside; the cleanup is over.
    """
    connection = HTTPConnection(scope, pump.origin, send, status=plan.status, headers=plan.headers)
    asker = Asker(scope.get("method", ""), scope.get("headers", ()))
    if scope.get("method") == "HEAD":
        await _without_source(plan, connection.say_headers())
        return
    if plan.resumable and marks_the_end(asker.last_event_id or ""):
        await _without_source(plan, connection.say_nothing())
        return
    stream = _stream(plan, asker)
    registry = plan.registry or Registry(plan.policy)
    try:
        await _serve(stream, connection, pump, registry)
    finally:
        if plan.registry is None and stream.callbacks:
            # Nobody else holds on to the tasks that tell the callbacks.
            with anyio.CancelScope(shield=True):
                await registry.settle()
    _raise_for(stream, connection)


def _stream(plan: Plan, asker: Asker) -> Stream:
    stream = Stream(
        plan.source,
        format=plan.format,
        policy=plan.policy,
        route=plan.route,
        owns=plan.owns,
        dialect=plan.dialect,
        resumable=plan.resumable,
        asker=asker,
    )
    stream.callbacks.extend(plan.callbacks)
    return stream


async def _serve(stream: Stream, connection: HTTPConnection, pump: Pump, registry: Registry) -> None:
    _warm_up()
    pump.listen(stream.client_gone)
    watch = pump.start()
    connection.client.going_away = lambda: registry.draining
    attention = attend(
        connection.client, leave=pump.leave, vanished=registry.vanished, send=stream.policy.send
    )
    registry.add(stream)
    try:
        await stream.serve(connection)
    finally:
        watch.cancel()
        try:
            attention.stop()
            connection.client.settle()
        finally:
            registry.over(stream)


@functools.cache
def _warm_up() -> None:
    """Have anyio import its backend, up to 50 ms, before the first client that leaves would pay for it."""
    anyio.get_cancelled_exc_class()


def _raise_for(stream: Stream, connection: HTTPConnection) -> None:
    if stream.error is not None and not connection.bears_no_exception:
        raise stream.error
    if stream.writer.was_cut and not connection.hung_up:
        raise StreamCut(f"the body was cut: {stream.machine.outcome} (stream {stream.id})")


async def _without_source(plan: Plan, answer: Awaitable[None]) -> None:
    """Give an answer that needs no source; it never starts, and is released."""
    try:
        await answer
    finally:
        hit = await wait_out(asyncio.create_task(_release(plan)))
        if hit is not None:
            raise hit


async def _release(plan: Plan) -> None:
    """Release what a source that was not needed would have used; whatever cancels the request meanwhile."""
    where = plan.route or "-"
    async with asyncio.timeout(
        plan.policy.cleanup
    ) as limit:  # cancels the one that hangs; the rest has its turn
        errors = await release_all([plan.source.close, *reversed(plan.owns)])
    if limit.expired():
        logger.warning("cleanup of a source of %s that was not needed was overdue", where)
    for error in errors:
        logger.warning("cleanup of a source of %s that was not needed raised", where, exc_info=error)
