"""A stream as the response to one request."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Hashable
from contextlib import nullcontext

import anyio

from endwell.asgi._admit import Entry
from endwell.asgi._connection import HTTPConnection
from endwell.asgi._plan import Plan
from endwell.asgi._pump import Pump
from endwell.engine import (
    Alone,
    Asker,
    Registry,
    Rejection,
    Stream,
    Voice,
    reject,
    release_all,
    wait_out,
)
from endwell.errors import StreamCut
from endwell.lifecycle import Cause
from endwell.observe import logger
from endwell.types import Scope, Send


async def respond(plan: Plan, scope: Scope, pump: Pump, send: Send) -> None:
    """Answer a request with a stream, and see it to its end.

    Raises:
        Exception: What the source raised: before the first chunk, so that the framework answers with a real
            HTTP error; after it, when the client was told, so that dependencies and middlewares see it too.
        StreamCut: The body had to be cut for another reason than an exception.
        CancelledError: The task was cancelled from outside; the cleanup is over.
    """
    home = plan.registry or Alone(plan.policy)
    connection = HTTPConnection(
        *(scope, pump, send, home), status=plan.status, headers=plan.headers, deadline=plan.policy.send
    )
    asker = Asker(scope.get("method", ""), scope.get("headers", ()))
    if asker.wants_headers:
        await _without_source(plan, connection, connection.say_headers())
        return
    if plan.resumable and asker.has_seen_the_end:
        await _without_source(plan, connection, connection.say_nothing())
        return
    entry = plan.entry
    if entry is None and plan.registry is not None and (plan.gates or plan.registry.draining):
        entry = await _enter(plan, plan.registry, connection, pump)
    try:
        if entry is not None and entry.refused is not None:
            await _turn_away(rejection_of(plan, entry, asker), plan, connection)
            return
        stream = _stream(plan, asker, None if entry is None else entry.key)
        pump.start(stream.loop, stream.context)
        try:
            _begin(stream, connection, pump, home)
        except BaseException:
            pump.stop()
            await _without_source(plan, connection)
            raise
        del plan, asker  # for as long as the stream lasts
        try:
            await stream.serve(connection)
        finally:
            pump.stop()
            _end(stream, connection, home)
            if isinstance(home, Alone) and stream.callbacks:
                # Nobody else holds on to the tasks that tell the callbacks.
                with anyio.CancelScope(shield=True):
                    await home.settle()
    finally:
        if entry is not None:
            await entry.give_up()
    _raise_for(stream, connection)


async def _enter(plan: Plan, registry: Registry, connection: HTTPConnection, pump: Pump) -> Entry:
    entry = Entry(pump)
    try:
        await entry.pass_through(registry, plan.gates, plan.request)
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


def _stream(plan: Plan, asker: Asker, key: Hashable | None) -> Stream:
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
        key=key,
    )
    stream.callbacks = tuple(plan.callbacks)
    return stream


def _begin(stream: Stream, connection: HTTPConnection, pump: Pump, home: Registry | Alone) -> None:
    """All that surrounds a stream while it runs; `_end` undoes it."""
    _warm_up()
    if home.id_header is not None:
        connection.say(home.id_header, stream.id.encode())
    home.add(stream)
    try:
        if home.watch is not None:
            home.watch.serving(connection.scope)
        connection.attend(stream.loop)
        pump.listen(stream)
    except BaseException:
        connection.part()
        home.forget(stream)
        raise


def _end(stream: Stream, connection: HTTPConnection, home: Registry | Alone) -> None:
    try:
        has_unsent = connection.part()
        if has_unsent or home.is_going():
            home.see_off(connection.client)
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
