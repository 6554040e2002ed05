"""Where the server is known to take bytes without waiting, the source's task sends them itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from endwell import ByteStream, Cause, EventStream, Outcome, Policy, current_stream
from endwell.types import ASGIApp, Message, Receive, Scope, Send
from tests.engine.scene import QUIET, Diary, Visit


class Flow:
    """uvicorn's flow control, as far as it is looked at."""

    write_paused = False


class Cycle:
    """Poses as uvicorn's own: its `receive` is bound to something that has a `flow`."""

    def __init__(self, receive: Receive, flow: Flow) -> None:
        self._receive = receive
        self.flow = flow

    async def receive(self) -> Message:
        return await self._receive()


Cycle.__module__ = "uvicorn.protocols.http"

SOURCE, REQUEST = "the source's task", "the request's task"


class Server:
    """Wraps a response so that it believes to be under uvicorn, and notes who sends."""

    def __init__(self, response: Callable[..., Any] = EventStream) -> None:
        self.flow = Flow()
        self.senders: list[str] = []
        self._response = response

    def __call__(self, source: Any, **options: Any) -> ASGIApp:
        app = self._response(source, **options)

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            request = asyncio.current_task()

            async def noting(message: Message) -> None:
                self.senders.append(REQUEST if asyncio.current_task() is request else SOURCE)
                await send(message)

            await app(scope, Cycle(receive, self.flow).receive, noting)

        return serve


async def count(last: int, every: float = 1) -> AsyncIterator[str]:
    for number in range(1, last + 1):
        yield str(number)
        await asyncio.sleep(every)


async def test_the_request_opens_and_ends_and_the_source_sends_what_is_between() -> None:
    server = Server()
    visit = Visit(count(4), server)
    ending = await visit.ending()
    assert visit.frames == [b"data: 1", b"data: 2", b"data: 3", b"data: 4"]
    # start, the first chunk; the others; the end
    assert server.senders == [REQUEST, REQUEST, SOURCE, SOURCE, SOURCE, REQUEST]
    assert (ending.outcome, ending.chunks, ending.bytes) == (Outcome.COMPLETED, 4, len(visit.body))


async def test_while_the_client_is_behind_the_request_sends() -> None:
    server = Server()
    visit = Visit(count(5), server)
    await asyncio.sleep(1.5)
    server.flow.write_paused = True
    await asyncio.sleep(2)
    server.flow.write_paused = False
    await visit.ending()
    assert server.senders == [REQUEST, REQUEST, SOURCE, REQUEST, REQUEST, SOURCE, REQUEST]
    assert len(visit.frames) == 5


async def test_another_servers_send_is_left_to_the_request() -> None:
    server = Server()
    server.flow = object()  # type: ignore[assignment]
    await Visit(count(3), server).ending()
    assert set(server.senders) == {REQUEST}


async def test_a_source_that_is_always_ready_sends_in_its_turns() -> None:
    server = Server(ByteStream)

    async def source() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"x" * 65_536

    visit = Visit(source(), server)
    ending = await visit.ending()
    assert SOURCE in server.senders
    assert (ending.chunks, ending.bytes) == (5, 5 * 65_536)


async def test_heartbeats_are_sent_by_the_request_and_tear_nothing() -> None:
    server = Server()
    visit = Visit(count(3, every=12), server, policy=Policy(heartbeat=5, cleanup=1))
    ending = await visit.ending()
    assert [frame.removeprefix(b": ping\n: ping\n") for frame in visit.frames[:3]] == [
        b"data: 1",
        b"data: 2",
        b"data: 3",
    ]
    assert visit.body.count(b": ping\n") == ending.heartbeats == 6
    assert ending.chunks == 3


# -- a send that is suspended after all: a middleware waits for something of its own -------------------


async def test_a_send_that_is_held_up_is_carried_to_its_end_before_the_next() -> None:
    visit = Visit(count(4), Server(), sends={3: 5})
    ending = await visit.ending()
    assert visit.frames == [b"data: 1", b"data: 2", b"data: 3", b"data: 4"]
    assert [sent.at for sent in visit.sends] == [0, 0, 1, 6, 7, 8]
    assert ending.outcome is Outcome.COMPLETED


async def test_the_sources_own_timeout_does_not_tear_a_send_that_is_held_up() -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        yield "1"
        await asyncio.sleep(1)
        try:
            async with asyncio.timeout(2):
                yield "2"
                await asyncio.sleep(100)
        except TimeoutError:
            diary("timed out")
        yield "3"

    visit = Visit(source(), Server(), sends={3: 5})
    await visit.ending()
    assert visit.frames == [b"data: 1", b"data: 2", b"data: 3"]
    assert diary.entries == [(6, "timed out")]


@pytest.mark.parametrize("held", [True, False])
async def test_a_client_that_leaves_is_noticed_whether_or_not_a_send_is_held_up(held: bool) -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        try:
            async for number in count(100):
                yield number
        finally:
            await asyncio.sleep(1)
            diary("cleaned up")

    visit = Visit(source(), Server(), sends={3: 50} if held else {})
    await asyncio.sleep(3.5)
    visit.leave()
    ending = await visit.ending()
    assert (ending.outcome, ending.duration, ending.chunks) == (Outcome.CLIENT_GONE, 3.5, 1 if held else 4)
    assert diary.entries == [(4.5, "cleaned up")]
    assert visit.unheard == []


async def test_a_stop_while_a_send_is_held_up_is_told_after_it() -> None:
    stops: list[Callable[[], bool]] = []

    async def source() -> AsyncIterator[str]:
        stops.append(current_stream().stop)
        async for number in count(100):
            yield number

    visit = Visit(source(), Server(), sends={3: 5})
    await asyncio.sleep(2)
    assert stops[0]()
    ending = await visit.ending()
    assert visit.frames[:2] == [b"data: 1", b"data: 2"]
    assert visit.told()["code"] == "stopped"
    assert (ending.outcome, ending.chunks) == (Outcome.STOPPED, 2)


async def test_a_send_that_is_held_up_for_too_long_ends_the_stream() -> None:
    policy = Policy(heartbeat=None, hold=None, send=10, cleanup=2)
    visit = Visit(count(100), Server(), policy=policy, sends={3: 1000})
    ending = await visit.ending()
    assert (ending.outcome, ending.duration) == (Outcome.SLOW_CLIENT, 11)


@pytest.mark.parametrize(
    ("error", "cause"),
    [(OSError, Cause.SEND_FAILED), (RuntimeError, Cause.SEND_FAILED), (KeyError, Cause.SEND_CRASHED)],
)
async def test_a_send_that_fails_ends_the_stream(error: type[Exception], cause: Cause) -> None:
    diary = Diary()

    async def source() -> AsyncIterator[str]:
        try:
            async for number in count(100):
                yield number
        finally:
            await asyncio.sleep(1)
            diary("cleaned up")

    visit = Visit(source(), Server(), policy=QUIET, sends={3: error})
    ending = await visit.ending()
    assert (ending.cause, ending.duration) == (cause, 1)
    assert diary.entries == [(2, "cleaned up")]
