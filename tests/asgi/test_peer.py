"""The scripted peer itself: a test that trusts it must be able to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from endwell.types import ASGIApp, Message, Receive, Scope, Send
from tests.engine.scene import for_ever, now, turns
from tests.peer import FOREVER, Peer

START: Message = {"type": "http.response.start", "status": 200, "headers": []}
END: Message = {"type": "http.response.body", "body": b"", "more_body": False}


def piece(body: bytes) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": True}


def says(*messages: Message, pause: float = 0) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
            await asyncio.sleep(pause)

    return app


async def test_it_keeps_what_was_said_and_when() -> None:
    peer = Peer(says(START, piece(b"a"), piece(b""), piece(b"b"), END, pause=1))
    await peer.got(b"b")
    assert now() == 3
    await peer.finished()
    assert (peer.status, peer.body, peer.pieces, peer.complete) == (200, b"ab", [b"a", b"b"], True)
    assert [sent.at for sent in peer.sends] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("media_type", "body", "frames"),
    [
        (
            "text/event-stream",
            b": ping\ndata: 1\n\n: ping\na: 2\nb: 3\n\nc",
            [b"data: 1", b"a: 2\nb: 3", b"c"],
        ),
        ("application/x-ndjson", b"\n1\n\n2\n3", [b"1", b"2", b"3"]),
        ("text/csv", b"1,2\n\n", [b"1,2\n\n"]),
    ],
)
async def test_it_reads_frames(media_type: str, body: bytes, frames: list[bytes]) -> None:
    peer = Peer(says({**START, "headers": [(b"content-type", media_type.encode())]}, piece(body), END))
    await peer.finished()
    assert peer.frames == frames


@pytest.mark.parametrize(
    ("messages", "violation"),
    [
        ([piece(b"x")], "before http.response.start"),
        ([START, START], "a second http.response.start"),
        ([START, END, END], "after the end of the body"),
        ([START, {"type": "http.response.body", "body": "text"}], "must be bytes, not str"),
        ([START, {"type": "http.response.boddy"}], "unknown message"),
        ([{**START, "status": 20}], "status 20"),
        ([{**START, "status": "200"}], "status '200'"),
        ([{**START, "headers": [("content-type", "text/csv")]}], "pairs of bytes"),
        ([{**START, "headers": [(b"Content-Type", b"text/csv")]}], "lower case"),
    ],
)
async def test_who_breaks_a_rule_is_told_and_cannot_hide_it(messages: list[Message], violation: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(RuntimeError, match=violation):
            await says(*messages)(scope, receive, send)

    peer = Peer(app)
    with pytest.raises(AssertionError, match=violation):
        await peer.finished()


async def test_two_readers_of_receive_are_a_broken_rule() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await asyncio.gather(receive(), receive(), return_exceptions=True)

    peer = Peer(app)
    await turns()
    peer.leave()
    with pytest.raises(AssertionError, match="two readers"):
        await peer.finished()


async def test_a_send_blocks_fails_or_takes_time_as_the_script_says() -> None:
    waits: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in (START, piece(b"a"), piece(b"b"), piece(b"c")):
            began = now()
            try:
                async with asyncio.timeout(100):
                    await send(message)
                waits.append(now() - began)
            except (OSError, KeyError) as error:
                waits.append(type(error))

    peer = Peer(app, sends={2: 5, 3: KeyError, 4: FOREVER}, latency=1)
    await peer.finished()
    assert waits == [1, 6, KeyError, TimeoutError]
    assert peer.body == b"ac"


async def test_a_client_that_stalls_reads_on_when_it_resumes() -> None:
    peer = Peer(says(START, piece(b"a"), END))
    peer.stall()
    await asyncio.sleep(5)
    assert (peer.status, peer.body) == (200, b"")
    peer.resume()
    await peer.finished()
    assert (now(), peer.body) == (5, b"a")


async def test_what_is_said_to_a_client_that_has_left_is_not_heard() -> None:
    peer = Peer(says(START, piece(b"a"), pause=1))
    await turns()
    peer.leave()
    await peer.finished()
    assert (peer.body, peer.unheard) == (b"", [piece(b"a")])


@pytest.mark.parametrize("end", ["leave", "complete"])
async def test_the_disconnect_is_told_when_the_client_leaves_and_when_the_response_is_complete(
    end: str,
) -> None:
    told: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        told.append(await receive())
        if end == "complete":
            await says(START, END)(scope, receive, send)
        told.extend([await receive(), await receive()])

    peer = Peer(app, body=[b"x"])
    await asyncio.sleep(1)
    if end == "leave":
        peer.leave()
    await peer.finished()
    assert [message["type"] for message in told] == ["http.request", "http.disconnect", "http.disconnect"]


async def test_a_server_that_says_the_disconnect_only_once_blocks_whoever_asks_again() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        async with asyncio.timeout(5):
            await receive()

    peer = Peer(app, body=(), sticky=False)
    peer.leave()
    assert isinstance(await peer.over(), TimeoutError)


async def test_a_body_comes_in_pieces_and_more_can_be_uploaded_later() -> None:
    pieces = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            pieces.append((message["body"], message["more_body"]))
            more = message["more_body"]

    peer = Peer(app, body=())
    peer.upload(b"a", b"b", more=True)
    await asyncio.sleep(1)
    peer.upload(b"c")
    await peer.finished()
    assert pieces == [(b"a", True), (b"b", True), (b"c", False)]


async def test_waiting_for_what_never_comes_is_a_failure_not_a_hang() -> None:
    peer = Peer(says(START, piece(b"a"), END))
    with pytest.raises(AssertionError, match="no b'b' in b'a'"):
        await peer.got(b"b")


async def test_what_the_application_raised_is_raised_or_returned() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise LookupError

    peer = Peer(app)
    assert isinstance(await peer.over(), LookupError)
    with pytest.raises(LookupError):
        await peer.finished()


async def test_an_application_that_was_cancelled_says_so() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await for_ever()

    peer = Peer(app)
    await turns()
    peer.task.cancel()
    assert isinstance(await peer.over(), asyncio.CancelledError)


async def test_a_websocket_peer_begins_with_connect_and_ends_with_its_own_disconnect() -> None:
    told = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        told.extend([(await receive())["type"], (await receive())["type"]])

    peer = Peer(app, type="websocket")
    peer.leave()
    await peer.finished()
    assert told == ["websocket.connect", "websocket.disconnect"]
