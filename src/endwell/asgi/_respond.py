"""A stream as the response to one request."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any

import anyio

from endwell.asgi._admit import Entry
from endwell.asgi._attend import attend
from endwell.asgi._connection import Headers, HTTPConnection
from endwell.asgi._pump import Pump
from endwell.engine import (
    Asker,
    Gate,
    Registry,
    Rejection,
    Release,
    SourceHandle,
    Stream,
    Voice,
    reject,
    release_all,
    wait_out,
)
from endwell.errors import StreamCut
from endwell.lifecycle import Cause
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
        owner: Who may stop it, besides the application.
        gates: Who has to let it in.
        request: The Starlette request, if the gates want to know it.
        entry: It has been at the gates already.
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
    owner: object = None
    gates: Sequence[Gate] = ()
    request: Any = None
    entry: Entry | None = None


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
    registry = plan.registry or Registry(plan.policy)
    entry = await _enter(plan, registry, pump)
    try:
        if entry.refused is not None:
            with registry.answering():
                await _turn_away(rejection_of(plan, entry, asker), plan, registry, connection)
            return
        await _see_through(_stream(plan, asker, entry), plan, registry, connection, entry)
    finally:
        await entry.give_up()


async def _see_through(
    stream: Stream, plan: Plan, registry: Registry, connection: HTTPConnection, entry: Entry
) -> None:
    if registry.id_header is not None:
        connection.say(registry.id_header, stream.id.encode())
    try:
        await _serve(stream, connection, entry, registry)
    finally:
        if plan.registry is None and stream.callbacks:
            # Nobody else holds on to the tasks that tell the callbacks.
            with anyio.CancelScope(shield=True):
                await registry.settle()
    _raise_for(stream, connection)


async def _enter(plan: Plan, registry: Registry, pump: Pump) -> Entry:
    if plan.entry is not None:
        return plan.entry
    entry = Entry(pump)
    if registry.draining or plan.gates:
        try:
            await entry.pass_through(registry, plan.gates, plan.request)
        except BaseException:
            await _without_source(plan)
            raise
    return entry


def rejection_of(plan: Plan, entry: Entry, asker: Asker) -> Rejection:
    """What comes of a request that was not let in."""
    assert entry.refused is not None
    # When a process that goes away is back says the policy; when there is room again, the gate.
    gate = None if entry.refused is Cause.DRAINING else entry.gate
    return reject(
        entry.refused,
        Voice("", plan.format, plan.policy, dialect=plan.dialect, asker=asker),
        route=plan.route,
        key=entry.key,
        waited=entry.waited,
        span=None if gate is None else gate.limits.retry_after,
    )


async def _turn_away(
    rejection: Rejection, plan: Plan, registry: Registry, connection: HTTPConnection
) -> None:
    is_there = rejection.ending.cause is not Cause.DISCONNECT
    try:
        await _without_source(plan, connection.refuse(rejection.refusal) if is_there else None)
    finally:
        registry.tell(rejection.ending, [*plan.callbacks, *registry.callbacks])


def _stream(plan: Plan, asker: Asker, entry: Entry) -> Stream:
    stream = Stream(
        plan.source,
        format=plan.format,
        policy=plan.policy,
        route=plan.route,
        owns=plan.owns,
        dialect=plan.dialect,
        resumable=plan.resumable,
        asker=asker,
        owner=plan.owner,
        key=entry.key,
    )
    stream.callbacks.extend(plan.callbacks)
    return stream


async def _serve(stream: Stream, connection: HTTPConnection, entry: Entry, registry: Registry) -> None:
    _warm_up()
    watch = entry.watch()
    connection.client.going_away = lambda: registry.draining
    attention = attend(
        connection.client, leave=entry.pump.leave, vanished=registry.vanished, send=stream.policy.send
    )
    registry.add(stream)
    try:
        if registry.watch is not None:
            registry.watch.serving(connection.scope)
        entry.pump.listen(stream.client_gone)
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


async def _without_source(plan: Plan, answer: Awaitable[None] | None = None) -> None:
    """Give an answer that needs no source, or none at all; it never starts, and is released."""
    try:
        if answer is not None:
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
