"""A stream as the response to one request."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import anyio

from endwell.asgi._admit import Entry
from endwell.asgi._attend import attend
from endwell.asgi._connection import Headers, HTTPConnection
from endwell.asgi._hidden import Follower
from endwell.asgi._pump import Pump
from endwell.engine import (
    Alone,
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
from endwell.wire import Dialect, Format


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
    if asker.wants_headers:
        await _without_source(plan, connection, connection.say_headers())
        return
    if plan.resumable and asker.has_seen_the_end:
        await _without_source(plan, connection, connection.say_nothing())
        return
    home = plan.registry or Alone(plan.policy)
    entry = plan.entry or await _enter(plan, connection, pump)
    try:
        if entry.refused is not None:
            await _turn_away(rejection_of(plan, entry, asker), plan, connection)
            return
        stream = _stream(plan, asker, entry)
        watch = entry.watch()
        attention: Follower | None = None
        try:
            attention = _begin(stream, connection, entry.pump, home)
            await stream.serve(connection)
        finally:
            watch.cancel()
            if attention is None:
                await _without_source(plan, connection)
            else:
                _end(stream, connection, attention, home)
            if plan.registry is None and stream.callbacks:
                # Nobody else holds on to the tasks that tell the callbacks.
                with anyio.CancelScope(shield=True):
                    await home.settle()
    finally:
        await entry.give_up()
    _raise_for(stream, connection)


async def _enter(plan: Plan, connection: HTTPConnection, pump: Pump) -> Entry:
    entry = Entry(pump)
    if plan.registry is not None and (plan.registry.draining or plan.gates):
        try:
            await entry.pass_through(plan.registry, plan.gates, plan.request)
        except BaseException:
            await _without_source(plan, connection)
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


async def _turn_away(rejection: Rejection, plan: Plan, connection: HTTPConnection) -> None:
    assert plan.registry is not None
    is_there = rejection.ending.cause is not Cause.DISCONNECT
    answer = connection.refuse(rejection.refusal) if is_there else None
    with plan.registry.answering():
        try:
            await _without_source(plan, connection, answer)
        finally:
            plan.registry.tell(rejection.ending, [*plan.callbacks, *plan.registry.callbacks])


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


def _begin(stream: Stream, connection: HTTPConnection, pump: Pump, home: Registry | Alone) -> Follower:
    """All that surrounds a stream while it runs; `_end` undoes it."""
    _warm_up()
    if home.id_header is not None:
        connection.say(home.id_header, stream.id.encode())
    connection.client.going_away = home.is_going
    attention = attend(connection.client, leave=pump.leave, vanished=home.vanished, send=stream.policy.send)
    home.add(stream)
    try:
        if home.watch is not None:
            home.watch.serving(connection.scope)
        pump.listen(stream.client_gone)
    except BaseException:
        attention.stop()
        home.forget(stream)
        raise
    return attention


def _end(stream: Stream, connection: HTTPConnection, attention: Follower, home: Registry | Alone) -> None:
    try:
        attention.stop()
        client = connection.client
        client.settle()
        if home.is_going() or client.has_unsent:
            home.see_off(client)
    finally:
        home.over(stream)


@functools.cache
def _warm_up() -> None:
    """Have anyio import its backend, up to 50 ms, before the first client that leaves would pay for it."""
    anyio.get_cancelled_exc_class()


def _raise_for(stream: Stream, connection: HTTPConnection) -> None:
    if stream.error is not None and not connection.bears_no_exception:
        error, stream.error = stream.error, None
        try:
            raise error
        finally:
            del error  # its traceback refers to this frame
    if stream.writer.was_cut and not connection.hung_up:
        raise StreamCut(f"the body was cut: {stream.machine.outcome} (stream {stream.id})")


async def _without_source(
    plan: Plan, connection: HTTPConnection, answer: Awaitable[None] | None = None
) -> None:
    """Give an answer that needs no source, or none at all; it never starts, and is released."""
    with nullcontext() if plan.registry is None else plan.registry.answering():
        try:
            if answer is not None:
                await _in_time(plan, connection, answer)
        finally:
            hit = await wait_out(asyncio.create_task(_release(plan)))
            if hit is not None:
                raise hit


async def _in_time(plan: Plan, connection: HTTPConnection, answer: Awaitable[None]) -> None:
    """A few bytes: whoever does not take them in time takes nothing at all."""
    try:
        async with asyncio.timeout(plan.policy.send):
            await answer
    except TimeoutError:
        connection.abort()


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
