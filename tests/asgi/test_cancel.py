"""Plain handlers whose client leaves: cancelled once, cleaned up, logged as 499."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from endwell import CancelOnDisconnect, SourceCrashed
from endwell.types import ASGIApp, Receive, Scope, Send
from tests.engine.scene import Diary, for_ever, now, turns
from tests.peer import Peer


def watched(app: ASGIApp, **options: Any) -> CancelOnDisconnect:
    return CancelOnDisconnect(app, **(options or {"paths": ["/embed"]}))


def visit(app: ASGIApp, **options: Any) -> Peer:
    return Peer(watched(app), **{"method": "POST", "path": "/embed", **options})


async def answer(send: Send, body: bytes = b"done") -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def handler(diary: Diary, *, cleanup: float = 1) -> ASGIApp:
    """Waits for ever, and cleans up for some seconds."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            diary("began")
            await for_ever()
        except asyncio.CancelledError:
            diary("cancelled")
            raise
        finally:
            await asyncio.sleep(cleanup)
            diary("cleaned")

    return app


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="endwell")
    return caplog


# -- the client leaves ---------------------------------------------------------------------------------------


async def test_a_handler_whose_client_leaves_is_cancelled_and_its_cleanup_is_awaited(
    log: pytest.LogCaptureFixture,
) -> None:
    diary = Diary()
    peer = visit(handler(diary, cleanup=2))
    await asyncio.sleep(5)
    peer.leave()
    assert await peer.over() is None
    assert diary == [(0, "began"), (5, "cancelled"), (7, "cleaned")]
    (record,) = log.records
    assert (record.levelno, record.exc_info) == (logging.INFO, None)
    assert record.message.startswith("499 POST /embed: the client left after ")


async def test_a_middleware_outside_still_sees_an_answer() -> None:
    """BaseHTTPMiddleware takes an application that returns without one for broken."""
    peer = visit(handler(Diary()))
    await turns()
    peer.leave()
    await peer.finished()
    assert [message["type"] for message in peer.unheard] == ["http.response.start", "http.response.body"]
    assert peer.unheard[0]["status"] == 499
    assert peer.complete


async def test_a_handler_that_had_begun_to_answer_gets_no_second_answer() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await for_ever()

    peer = visit(app)
    await turns()
    peer.leave()
    await peer.finished()
    assert peer.unheard == []


async def test_a_handler_that_answers_in_time_is_left_alone(log: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        await asyncio.sleep(5)
        await answer(send, message["body"] * 2)

    peer = visit(app, body=[b"echo"])
    await peer.finished()
    assert (peer.status, peer.body, now()) == (200, b"echoecho", 5)
    assert log.records == []


async def test_what_a_handler_does_after_its_answer_is_left_alone_although_servers_then_say_disconnect(
    log: pytest.LogCaptureFixture,
) -> None:
    diary = Diary()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send)
        while (await receive())["type"] != "http.disconnect":
            pass
        await asyncio.sleep(5)
        diary("background task done")

    for hasty in (False, True):
        await visit(app, hasty=hasty, latency=0).finished()
    assert diary == [(5, "background task done"), (10, "background task done")]
    assert log.records == []


async def test_a_client_that_left_before_the_handler_began_is_spared_the_work() -> None:
    diary = Diary()
    peer = visit(handler(diary), body=())
    peer.leave()
    assert await peer.over() is None
    assert "cleaned" in diary.words or diary.words == []


async def test_the_handlers_own_exception_wins_over_the_leaving_of_its_client(
    log: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await for_ever()
        finally:
            raise LookupError("its own")

    peer = visit(app)
    await turns()
    peer.leave()
    assert isinstance(await peer.over(), LookupError)
    assert log.records == []


@pytest.mark.parametrize("after", range(6))
async def test_an_exception_at_the_moment_the_client_leaves_is_not_lost(after: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(5)
        raise LookupError

    peer = visit(app)
    await asyncio.sleep(5)
    await turns(after)
    peer.leave()
    error = await peer.over()
    assert isinstance(error, LookupError) or (error is None and after == 0)


async def test_a_handler_that_swallows_the_cancellation_and_answers_is_heard_out() -> None:
    diary = Diary()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await for_ever()
        except asyncio.CancelledError:
            await asyncio.sleep(3)
            diary("saved")
        await answer(send)

    peer = visit(app)
    await turns()
    peer.leave()
    assert await peer.over() is None
    assert diary == [(3, "saved")]


async def test_a_handler_that_cancels_itself_is_cancelled() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise asyncio.CancelledError

    peer = visit(app)
    assert isinstance(await peer.over(), asyncio.CancelledError)


@pytest.mark.parametrize("crash", [SystemExit, KeyboardInterrupt])
async def test_what_would_take_the_server_down_is_raised_where_the_server_can_catch_it(
    crash: type[BaseException],
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise crash

    error = await visit(app).over()
    assert isinstance(error, SourceCrashed)
    assert isinstance(error.__cause__, crash)


async def test_a_forged_path_does_not_forge_a_line_in_the_log(log: pytest.LogCaptureFixture) -> None:
    peer = Peer(watched(handler(Diary()), match=lambda scope: True), path="/a\nERROR forged")
    await turns()
    peer.leave()
    await peer.over()
    assert "\n" not in log.records[0].message


# -- cancelled from outside ----------------------------------------------------------------------------------


async def test_a_cancellation_from_outside_is_passed_on_once_and_waited_out() -> None:
    diary = Diary()
    peer = visit(handler(diary, cleanup=3))
    await asyncio.sleep(1)
    for _ in range(5):
        peer.task.cancel()
        await asyncio.sleep(0.5)
    assert isinstance(await peer.over(), asyncio.CancelledError)
    assert diary == [(0, "began"), (1, "cancelled"), (4, "cleaned")]


@pytest.mark.parametrize("first", ["leave", "cancel"])
@pytest.mark.parametrize("after", range(5))
async def test_a_leaving_and_a_cancellation_together_cancel_the_handler_once(first: str, after: int) -> None:
    diary = Diary()
    peer = visit(handler(diary, cleanup=3))
    await asyncio.sleep(1)
    calls: list[Callable[[], object]] = [peer.leave, peer.task.cancel]
    for call in calls if first == "leave" else reversed(calls):
        call()
        await turns(after)
    await peer.over()
    assert diary == [(0, "began"), (1, "cancelled"), (4, "cleaned")]


@pytest.mark.timeout(20)
async def test_a_cancel_scope_around_it_neither_disturbs_the_cleanup_nor_spins() -> None:
    """As behind BaseHTTPMiddleware, which cancels its task group when the client leaves."""
    diary = Diary()
    inner = watched(handler(diary, cleanup=3))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as group:

            async def watch() -> None:
                await peer.until(lambda: peer.left)
                group.cancel_scope.cancel()

            group.start_soon(watch)
            await inner(scope, receive, send)
            group.cancel_scope.cancel()

    peer = Peer(app, path="/embed")
    await asyncio.sleep(1)
    peer.leave()
    await peer.over()
    assert diary == [(0, "began"), (1, "cancelled"), (4, "cleaned")]


async def test_what_a_handler_raises_while_it_is_cancelled_from_outside_is_in_the_log(
    log: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await for_ever()
        finally:
            raise LookupError("in its cleanup")

    peer = visit(app)
    await turns()
    peer.task.cancel()
    assert isinstance(await peer.over(), asyncio.CancelledError)
    assert "in its cleanup" in log.text


async def test_a_timeout_around_it_is_a_timeout() -> None:
    diary = Diary()
    inner = watched(handler(diary))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with asyncio.timeout(5):
            await inner(scope, receive, send)

    peer = Peer(app, path="/embed")
    assert isinstance(await peer.over(), TimeoutError)
    assert diary.words == ["began", "cancelled", "cleaned"]


# -- what is watched -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "watched_paths"),
    [
        ({"paths": ["/a", "/b"]}, ["/a", "/b"]),
        ({"paths": ()}, []),
        ({"match": lambda scope: scope["path"].startswith("/a")}, ["/a", "/ab"]),
    ],
)
async def test_only_chosen_paths_are_watched(options: dict[str, Any], watched_paths: list[str]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(5)
        await answer(send)

    cancelled = []
    for path in ("/a", "/ab", "/b", "/c"):
        began = now()
        peer = Peer(watched(app, **options), path=path)
        await asyncio.sleep(1)
        peer.leave()
        await peer.finished()
        if now() - began == 1:
            cancelled.append(path)
    assert cancelled == watched_paths


async def test_what_is_no_http_request_passes_through() -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope, receive, send))

    async def nothing(*_: object) -> Any:
        raise AssertionError

    for kind in ("lifespan", "websocket"):
        await watched(app, match=lambda scope: True)({"type": kind, "path": "/"}, nothing, nothing)
    assert [scope["type"] for scope, *_ in seen] == ["lifespan", "websocket"]
    assert all(receive is nothing and send is nothing for _, receive, send in seen)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, TypeError, "either paths or match"),
        ({"paths": ["/a"], "match": bool}, TypeError, "either paths or match"),
        ({"paths": "/embed"}, TypeError, "got the string '/embed'"),
        ({"paths": ["embed"]}, ValueError, "begin with a slash, got 'embed'"),
        ({"match": "/embed"}, TypeError, "must be a function of the scope"),
    ],
)
def test_a_wrong_choice_of_paths_is_an_error_at_once(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None: ...

    with pytest.raises(error, match=message):
        CancelOnDisconnect(app, **options)


async def test_a_large_upload_reaches_a_handler_that_reads_late() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(5)
        size = 0
        while True:
            message = await receive()
            size += len(message["body"])
            if not message["more_body"]:
                break
        await answer(send, str(size).encode())

    peer = visit(app, body=[bytes(500_000)] * 10)
    await peer.finished()
    assert peer.body == b"5000000"
