"""A stream that is over is freed at once, however it ended: it leaves the garbage collector nothing to do.

What refers to itself in a circle waits for the collector, which looks at every object of every open stream
for it, and holds all of them up meanwhile.
"""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from types import CoroutineType, FrameType, FunctionType, GeneratorType
from typing import Any, NamedTuple

import pytest

from endwell import EventStream, Finish, Grace, NDJSONStream, Policy, Streams, current_stream
from endwell.asgi import _uvicorn
from endwell.observe import logger
from endwell.types import ASGIApp, Message, Scope
from tests.engine.scene import for_ever, turns

STREAMS = 20


@pytest.fixture(autouse=True)
def _nobody_keeps_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is logged holds on to its exception, and that to all that it went through."""
    monkeypatch.setattr(logger, "disabled", True)


class Visitor:
    """A client that is no garbage itself, unlike a `Peer`.

    Args:
        blocks: It takes nothing.
        breaks: Its connection is found to be broken by the first send of a body.
    """

    def __init__(self, *, blocks: bool = False, breaks: bool = False) -> None:
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        self.messages.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        self.began = asyncio.Event()
        self._blocks, self._breaks = blocks, breaks

    async def send(self, message: Message) -> None:
        if message["type"] != "http.response.body":
            return
        self.began.set()
        if self._breaks:
            raise OSError("broken pipe")
        if self._blocks:
            await for_ever()

    async def receive(self) -> Message:
        return await self.messages.get()

    def leave(self) -> None:
        self.messages.put_nowait({"type": "http.disconnect"})


@pytest.fixture(autouse=True, params=["any server", "uvicorn"])
def _by_hand(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """uvicorn's `receive` is stepped by hand, and any other in a task."""
    if request.param == "uvicorn":
        monkeypatch.setattr(Visitor, "__module__", "uvicorn.protocols.http.h11_impl")
        monkeypatch.setattr(Visitor.receive, "__module__", "uvicorn.protocols.http.h11_impl")
    for known in (_uvicorn._is_uvicorns, _uvicorn._is_plain):
        known.cache_clear()
    yield
    for known in (_uvicorn._is_uvicorns, _uvicorn._is_plain):
        known.cache_clear()


def scope_of(state: dict[str, Any]) -> Scope:
    address = ("192.0.2.1", 5)
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": "/"}
    return {**scope, "query_string": b"", "headers": [], "client": address, "server": None, "state": state}


# -- sources -------------------------------------------------------------------------------------------------


async def numbers() -> AsyncIterator[int]:
    for number in range(5):
        yield number


def sync_numbers() -> Iterator[int]:
    yield from range(5)


async def waits() -> AsyncIterator[int]:
    try:
        yield 1
        await for_ever()
    finally:
        await asyncio.sleep(1)


async def never_waits() -> AsyncIterator[str]:
    while True:
        yield "x" * 10_000


async def silent() -> AsyncIterator[int]:
    await for_ever()
    yield 1


async def fails() -> AsyncIterator[int]:
    yield 1
    raise ValueError("no more")


async def fails_at_once() -> AsyncIterator[int]:
    raise ValueError("none")
    yield 1


async def stops() -> AsyncIterator[int]:
    yield 1
    current_stream().stop("enough")
    await for_ever()


async def has_helpers() -> AsyncIterator[int]:
    stream = current_stream()
    helper = stream.spawn(for_ever())
    stream.on_end(lambda ending: None)
    yield 1
    await helper


async def has_a_time_limit() -> AsyncIterator[int]:
    yield 1
    async with asyncio.timeout(1000):
        await for_ever()


async def goes_on() -> AsyncIterator[int]:
    yield 1
    await asyncio.sleep(3)
    yield 2


async def says_goodbye() -> AsyncIterator[int]:
    yield 1
    await current_stream().draining
    yield 2


# -- ways to end ---------------------------------------------------------------------------------------------


async def stays(visitor: Visitor, request: asyncio.Task[None]) -> None:
    """It ends by itself."""


async def leaves(visitor: Visitor, request: asyncio.Task[None]) -> None:
    await visitor.began.wait()
    await turns()
    visitor.leave()


async def leaves_at_once(visitor: Visitor, request: asyncio.Task[None]) -> None:
    visitor.leave()


async def is_cancelled(visitor: Visitor, request: asyncio.Task[None]) -> None:
    """As by a server that is stopping."""
    await visitor.began.wait()
    await turns()
    request.cancel()


class Way(NamedTuple):
    """A source, what becomes of its client, and how it is served."""

    source: Callable[[], Any]
    client: Callable[[Visitor, asyncio.Task[None]], Any] = stays
    policy: Policy | None = None
    response: Callable[..., ASGIApp] = EventStream
    visitor: Callable[[], Visitor] = Visitor


WAYS = {
    "completed": Way(numbers),
    "a list": Way(lambda: [1, 2, 3]),
    "sync": Way(sync_numbers),
    "ndjson": Way(numbers, response=NDJSONStream),
    "left": Way(waits, leaves),
    "left before the first chunk": Way(silent, leaves_at_once),
    "left, never waiting": Way(never_waits, leaves),
    "left, with helpers": Way(has_helpers, leaves),
    "left, within a time limit": Way(has_a_time_limit, leaves),
    "left, and finished": Way(goes_on, leaves, Policy(on_leave=Finish(10))),
    "left, and a grace that was too short": Way(goes_on, leaves, Policy(on_leave=Grace(1))),
    "failed": Way(fails),
    "failed before the first chunk": Way(fails_at_once),
    "stopped by itself": Way(stops),
    "no first chunk": Way(silent, policy=Policy(first_chunk=5)),
    "no next chunk": Way(waits, policy=Policy(heartbeat=1, between_chunks=5)),
    "no more time": Way(waits, policy=Policy(total=5)),
    "not read": Way(never_waits, policy=Policy(send=5), visitor=lambda: Visitor(blocks=True)),
    "not read, and left": Way(never_waits, leaves, visitor=lambda: Visitor(blocks=True)),
    "a broken pipe": Way(waits, visitor=lambda: Visitor(breaks=True)),
    "a broken pipe, never waiting": Way(never_waits, visitor=lambda: Visitor(breaks=True)),
    "cancelled by the server": Way(waits, is_cancelled),
}


async def serve(way: Way, state: dict[str, Any]) -> None:
    """Let one stream live and end in this way."""
    visitor = way.visitor()
    response = way.response(way.source(), policy=way.policy)
    request = asyncio.ensure_future(response(scope_of(state), visitor.receive, visitor.send))
    await way.client(visitor, request)
    await asyncio.wait([request])
    if not request.cancelled():
        request.exception()  # it was heard of


def label(thing: object) -> str:
    """What it is, for whoever has to find the circle."""
    if isinstance(thing, CoroutineType | GeneratorType | FunctionType):
        return f"{type(thing).__name__} {thing.__qualname__}"
    if isinstance(thing, FrameType):
        return f"frame of {thing.f_code.co_qualname}"
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


async def leaves_no_garbage(end: Callable[[], Any]) -> None:
    """Let some streams end; raises AssertionError with what the collector finds of each."""
    for _ in range(2):
        await end()  # what is made once is made now
    await turns()
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        for _ in range(STREAMS):
            await end()
        await turns()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found = Counter(map(label, gc.garbage))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        if was_enabled:
            gc.enable()
    each = [f"{number / STREAMS:g} {what}" for what, number in found.most_common()]
    assert not each, "of each stream there is left:\n  " + "\n  ".join(each)


@pytest.mark.parametrize("belongs", [False, True], ids=["alone", "in an application"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_a_stream_that_is_over_leaves_no_garbage(way: Way, belongs: bool) -> None:
    state = {"endwell": Streams()._registry} if belongs else {}
    await leaves_no_garbage(lambda: serve(way, state))


@pytest.mark.parametrize("source", [waits, says_goodbye])
async def test_one_that_was_drained_leaves_none_either(source: Callable[[], AsyncIterator[int]]) -> None:
    streams = Streams()

    async def drain() -> None:
        streams._registry.open()
        visitor = Visitor()
        response = EventStream(source())
        scope = scope_of({"endwell": streams._registry})
        request = asyncio.ensure_future(response(scope, visitor.receive, visitor.send))
        await visitor.began.wait()
        await streams.drain()
        await request

    await leaves_no_garbage(drain)


async def test_one_that_was_stopped_leaves_none_either() -> None:
    streams = Streams()

    async def stop() -> None:
        visitor = Visitor()
        scope = scope_of({"endwell": streams._registry})
        response = EventStream(waits())
        request = asyncio.ensure_future(response(scope, visitor.receive, visitor.send))
        await visitor.began.wait()
        await streams.stop(streams.active()[0].id)
        await request

    await leaves_no_garbage(stop)
