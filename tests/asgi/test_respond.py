"""One request, one response: HEAD, denied WebSockets, HTTP/1.0, cuts, and what the framework gets to see."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from endwell import ByteStream, EventStream, NDJSONStream, Outcome, StreamCut, current_stream
from endwell.types import Message, Receive, Scope, Send
from tests.engine.scene import QUIET, Diary, Visit, for_ever, talker
from tests.peer import Peer

RESPONSES = pytest.mark.parametrize("response", [EventStream, NDJSONStream, ByteStream])


# -- HEAD ----------------------------------------------------------------------------------------------------


@RESPONSES
async def test_head_gets_what_get_would_begin_with_and_the_source_never_starts(
    response: Callable[..., Any],
) -> None:
    diary = Diary()
    head = Visit(talker(diary), response, method="HEAD", owns=[lambda: diary("released")])
    assert await head.over() is None
    assert diary.words == ["released"]
    assert (head.body, head.complete) == (b"", True)
    assert head.endings == []
    get = Visit(talker(diary), response)
    await get.got(b"hello")
    get.leave()
    await get.ending()
    assert (head.status, head.headers) == (get.status, get.headers)


async def test_head_releases_everything_whatever_each_release_does(caplog: pytest.LogCaptureFixture) -> None:
    diary = Diary()

    class Upstream:
        def __aiter__(self) -> Upstream:
            return self

        async def __anext__(self) -> str:
            raise AssertionError

        async def aclose(self) -> None:
            raise LookupError("of the source")

    def fail() -> None:
        raise LookupError("of a resource")

    owns = [lambda: diary("first"), fail, lambda: diary("last")]
    peer = Peer(EventStream(Upstream(), owns=owns), method="HEAD")
    await peer.finished()
    assert diary.words == ["last", "first"]
    assert "of the source" in caplog.text
    assert "of a resource" in caplog.text


async def test_a_head_that_is_cancelled_releases_everything() -> None:
    diary = Diary()

    async def close() -> None:
        await asyncio.sleep(1)
        diary("released")

    peer = Peer(EventStream(talker(diary), owns=[close]), method="HEAD", sends={1: 60})
    await asyncio.sleep(5)
    peer.task.cancel()
    assert isinstance(await peer.over(), asyncio.CancelledError)
    assert diary == [(6, "released")]


async def test_a_sync_source_of_a_head_is_closed() -> None:
    diary = Diary()

    class Cursor:
        def __iter__(self) -> Iterator[bytes]:
            raise AssertionError

        def close(self) -> None:
            diary("closed")

    await Peer(ByteStream(Cursor()), method="HEAD").finished()
    assert diary.words == ["closed"]


# -- the denial of a WebSocket -------------------------------------------------------------------------------


async def test_a_websocket_can_be_denied_with_a_stream() -> None:
    diary = Diary()
    visit = Visit(talker(diary), type="websocket")
    await visit.got(b"hello")
    visit.leave()
    ending = await visit.ending()
    assert ending.outcome is Outcome.CLIENT_GONE
    assert [sent.message["type"] for sent in visit.sends] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    assert diary.words == ["cancelled", "cleaned"]


async def test_a_denial_that_is_stopped_before_it_began_is_an_http_error() -> None:
    async def source() -> AsyncIterator[str]:
        current_stream().stop()
        yield "never"

    visit = Visit(source(), type="websocket")
    await visit.ending()
    assert visit.status == 503
    assert visit.told()["code"] == "stopped"


# -- what the framework sees ---------------------------------------------------------------------------------


async def test_an_error_before_the_first_chunk_is_left_to_the_framework() -> None:
    class NotFound(Exception):
        pass

    async def source() -> AsyncIterator[str]:
        raise NotFound
        yield "never"

    async def framework(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await EventStream(source(), policy=QUIET)(scope, receive, send)
        except NotFound:
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b"not here"})

    peer = Peer(framework)
    await peer.finished()
    assert (peer.status, peer.body) == (404, b"not here")


async def test_a_background_task_runs_when_all_is_over() -> None:
    from starlette.background import BackgroundTask

    diary = Diary()
    response = EventStream(
        talker(diary),
        policy=QUIET,
        owns=[lambda: diary("released")],
        background=BackgroundTask(diary, "background"),
    )
    peer = Peer(response)
    await peer.got(b"hello")
    peer.leave()
    await peer.finished()
    assert diary.words == ["cancelled", "cleaned", "released", "background"]


async def test_nobody_reads_receive_any_more_when_the_response_has_returned() -> None:
    """The next reader may be a middleware, or the next request on the connection."""

    async def source() -> AsyncIterator[str]:
        yield "x"

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reading = 0

        async def counted() -> Message:
            nonlocal reading
            reading += 1
            try:
                return await receive()
            finally:
                reading -= 1

        await EventStream(source(), policy=QUIET)(scope, counted, send)
        await asyncio.sleep(0)
        assert reading == 0

    await Peer(app, sticky=False).finished()


# -- cuts ----------------------------------------------------------------------------------------------------


async def failing() -> AsyncIterator[bytes]:
    yield b"one"
    await asyncio.sleep(1)
    raise LookupError


async def test_a_cut_is_a_message_that_every_middleware_hands_on_and_no_server_takes() -> None:
    messages: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def watched(message: Message) -> None:
            messages.append(message)
            await send(message)

        await ByteStream(failing(), policy=QUIET)(scope, receive, watched)

    peer = Peer(app)
    assert isinstance(await peer.over(), LookupError)
    assert messages[-1] == {"type": "http.response.pathsend", "path": ""}
    assert peer.was_cut
    assert not peer.complete


async def test_a_cut_that_the_server_takes_in_silence_is_still_raised() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def deaf(message: Message) -> None:
            if message["type"] != "http.response.pathsend":
                await send(message)

        await ByteStream(talk_and_stop(), policy=QUIET)(scope, receive, deaf)

    peer = Peer(app)
    assert isinstance(await peer.over(), StreamCut)
    assert not peer.complete


async def talk_and_stop() -> AsyncIterator[bytes]:
    yield b"one"
    await asyncio.sleep(1)
    current_stream().stop()
    await for_ever()


async def test_a_cut_says_what_it_was_for() -> None:
    visit = Visit(talk_and_stop(), ByteStream)
    ending = await visit.ending()
    error = await visit.over()
    assert "stopped" in str(error)
    assert ending.id in str(error)


async def test_a_cut_before_any_byte_of_a_committed_body_is_a_cut_as_well() -> None:
    from endwell import Policy

    async def source() -> AsyncIterator[bytes]:
        await asyncio.sleep(9)
        raise LookupError
        yield b"never"

    visit = Visit(source(), ByteStream, policy=Policy(hold=5))
    await visit.ending()
    assert (visit.status, visit.body, visit.was_cut) == (200, b"", True)
    assert isinstance(await visit.over(), LookupError)


async def test_daphne_is_not_told_by_an_exception_where_its_socket_cannot_be_found(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    visit = Visit(failing(), ByteStream, asgi={"version": "3.0"})
    ending = await visit.ending()
    assert ending.outcome is Outcome.FAILED
    assert not visit.complete
    assert not visit.was_cut


@pytest.mark.parametrize("version", ["1.0", "1"])
async def test_a_stream_of_http_1_0_is_whole(version: str) -> None:
    async def source() -> AsyncIterator[str]:
        yield "x"
        await asyncio.sleep(1)
        yield "y"

    visit = Visit(source(), http_version=version)
    assert (await visit.ending()).outcome is Outcome.COMPLETED
    assert visit.frames == [b"data: x", b"data: y"]
    assert visit.complete
