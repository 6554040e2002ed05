"""The endpoints for a stop button and for a readiness probe: what each gets, and what a stranger does not."""

from __future__ import annotations

import asyncio
import inspect
import logging
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import fastapi
import pytest
import starlette.exceptions
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount, Route

from endwell import ConfigurationError, Deployment, EventStream, Policy, Streams, current_stream
from endwell.types import ASGIApp, Message
from tests.ext.visits import Client, Endings, fetch, running, turns

OTHER_METHODS = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "post"]
UNKNOWN = "0123456789abcdef01234567"
MALFORMED = [
    *("%00", "%0a", "%0d%0a", "%1b[31m", "a%0", "%", "..", "../..", "a/b", "a%2Fb", "/", "//", " ", "%ff%fe"),
    *("\U0001f6d1", "{stream_id}", "id?stop=1", "a" * 65_536, "%00" * 1000),
]


def user(request: Request) -> str | None:
    """Who asks: what a session would say."""
    return request.headers.get("user")


async def user_async(request: Request) -> str | None:
    await asyncio.sleep(0)
    return user(request)


async def talk() -> AsyncIterator[str]:
    try:
        yield "a"
        await asyncio.sleep(1000)
    finally:
        await asyncio.sleep(3)


async def ann_talks() -> AsyncIterator[str]:
    current_stream().owner = "ann"
    yield "a"
    await asyncio.sleep(1000)


async def respond() -> EventStream:
    return EventStream(talk(), owner="ann")


class Site:
    """An application with streams that somebody may stop: `/free` is nobody's, the others are ann's."""

    def __init__(
        self, owner: Callable[[Request], Any] | None = user, *, wait: float | None = None, **streams: Any
    ) -> None:
        self.streams = Streams(**streams)
        self.endings = Endings(self.streams)
        self.app = FastAPI(lifespan=self.streams.lifespan)
        self.app.get("/owned")(self.streams.sse(owner=user)(talk))
        self.app.get("/owned_async")(self.streams.sse(owner=user_async)(talk))
        self.app.get("/fixed")(self.streams.sse(owner="ann")(talk))
        self.app.get("/set")(self.streams.sse(ann_talks))
        self.app.get("/returned")(respond)
        self.app.get("/free")(self.streams.sse(talk))
        self.app.mount("/streams", self.streams.stop_endpoint(owner=owner, wait=wait))

    async def start(
        self, target: str = "/owned", name: str = "ann", *, state: Any = None
    ) -> tuple[Client, str]:
        """Start a stream; its client, and its id."""
        before = {each.id for each in self.streams.active()}
        client = Client(self.app, target, headers=[(b"user", name.encode())], state=state or {})
        await client.got(b"data: a\n\n")
        (stream_id,) = {each.id for each in self.streams.active()} - before
        return client, stream_id

    async def stop(self, stream_id: str, name: str = "ann", *, method: str = "POST", **peer: Any) -> Client:
        """Ask for its end."""
        headers = [(b"user", name.encode())] if name else []
        target = f"/streams/{stream_id}/stop"
        return await fetch(self.app, target, method=method, headers=headers, **peer)


def answer(client: Client) -> tuple[int | None, dict[str, str], bytes]:
    """Everything that the client can see of a response."""
    return client.status, client.headers, client.body


# -- who may -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("owner", [user, user_async])
async def test_the_owner_stops_a_stream_and_its_client_is_told(owner: Callable[[Request], Any]) -> None:
    site = Site(owner)
    client, stream_id = await site.start()
    stopped = await site.stop(stream_id)
    assert answer(stopped) == (
        200,
        {"content-type": "application/json", "content-length": "20", "cache-control": "no-store"},
        b'{"result":"stopped"}',
    )
    await client.finished()
    assert client.events == ["error"]
    assert '"code":"stopped"' in client.data[-1]
    ending = await site.endings.only()
    assert (ending.outcome, ending.reason) == ("stopped", "asked by the client")


@pytest.mark.parametrize("target", ["/owned_async", "/fixed", "/set", "/returned"])
async def test_a_stream_gets_its_owner_in_several_ways(target: str) -> None:
    site = Site()
    async with running(site.app) as state:
        client, stream_id = await site.start(target, state=state)
        assert (await site.stop(stream_id, "bob")).status == 404
        assert (await site.stop(stream_id, "ann")).json() == {"result": "stopped"}
        await client.finished()
        assert (await site.stop(stream_id, "bob")).status == 404
        assert (await site.stop(stream_id, "ann")).json() == {"result": "already_ended"}


async def test_what_has_ended_is_said_to_have_ended() -> None:
    site = Site()
    client, stream_id = await site.start()
    await site.stop(stream_id)
    assert (await site.stop(stream_id)).json() == {"result": "already_ended"}, "it is cleaning up"
    await client.finished()
    assert (await site.stop(stream_id)).json() == {"result": "already_ended"}
    await site.endings.only()


async def test_a_stream_whose_client_left_has_ended() -> None:
    site = Site()
    client, stream_id = await site.start()
    client.leave()
    await client.finished()
    assert (await site.stop(stream_id)).json() == {"result": "already_ended"}


@pytest.mark.parametrize("stranger", ["bob", "", "ANN", "ann "])
@pytest.mark.parametrize("lives", [True, False])
async def test_a_stranger_is_answered_as_if_there_were_no_such_stream(stranger: str, lives: bool) -> None:
    site = Site()
    client, stream_id = await site.start()
    if not lives:
        client.leave()
        await client.finished()
    assert answer(await site.stop(stream_id, stranger)) == answer(await site.stop(UNKNOWN, stranger))
    assert (await site.stop(stream_id, stranger)).status == 404
    assert [each.id for each in site.streams.active()] == ([stream_id] if lives else [])
    await leave(client)


async def test_an_owner_is_compared_and_not_converted() -> None:
    """`1` and "1" may be two users."""
    site = Site(lambda request: 1)
    client, stream_id = await site.start(name="1")
    assert (await site.stop(stream_id)).status == 404
    await leave(client)


class Unloaded:
    """As a database's object whose session is closed: it cannot be compared."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise LookupError("not loaded")


class Several:
    """As an array: compared, it gives another, which is neither true nor false."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")


@pytest.mark.parametrize("lives", [True, False])
@pytest.mark.parametrize("owner", [Unloaded, Several])
async def test_an_owner_that_cannot_be_compared_betrays_no_stream(
    owner: Callable[[], Any], lives: bool, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(lambda request: owner())
    client, stream_id = await site.start()
    if not lives:
        await leave(client)
    assert answer(await site.stop(stream_id)) == answer(await site.stop(UNKNOWN))
    assert "cannot be compared with who asks" in caplog.text
    await leave(client)


async def test_an_owner_that_nobody_could_ask_for_is_not_forgotten() -> None:
    """Else everybody who knows the id might stop the stream: the endpoint was called without its request."""
    streams = Streams()
    story = streams.sse(owner=user)(talk)
    with pytest.raises(ConfigurationError, match="owner asks the request: give talk the one that it answers"):
        await story()


async def test_without_a_way_to_ask_who_it_is_nobody_is_the_owner() -> None:
    site = Site(owner=None)
    client, stream_id = await site.start()
    assert answer(await site.stop(stream_id)) == answer(await site.stop(UNKNOWN))
    await leave(client)


@pytest.mark.parametrize("owner", [None, user])
async def test_a_stream_of_nobody_is_stopped_by_whoever_knows_its_id(owner: Any) -> None:
    site = Site(owner)
    client, stream_id = await site.start("/free")
    assert (await site.stop(stream_id, name="")).json() == {"result": "stopped"}
    await client.finished()


@pytest.mark.parametrize("exception", [fastapi.HTTPException, starlette.exceptions.HTTPException])
@pytest.mark.parametrize("target", ["/owned", "/free"])
async def test_who_is_not_logged_in_gets_the_applications_own_answer(target: str, exception: Any) -> None:
    def refuse(request: Request) -> None:
        raise exception(401, "who are you?", {"www-authenticate": "Bearer"})

    site = Site(refuse)
    client, stream_id = await site.start(target)
    for asked in (stream_id, UNKNOWN):
        refused = await site.stop(asked)
        assert (refused.status, refused.json()) == (401, {"detail": "who are you?"})
        assert refused.headers["www-authenticate"] == "Bearer"
    await leave(client)


async def test_an_owner_that_fails_is_a_failure() -> None:
    def fail(request: Request) -> None:
        raise LookupError("no database")

    site = Site(fail)
    with pytest.raises(LookupError):
        await site.stop(UNKNOWN)


async def leave(client: Client) -> None:
    client.leave()
    await client.finished()


# -- what may be asked ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", OTHER_METHODS)
async def test_only_a_post_stops_anything(method: str) -> None:
    site = Site()
    client, stream_id = await site.start()
    refused = await site.stop(stream_id, method=method)
    assert (refused.status, refused.headers["allow"]) == (405, "POST")
    assert answer(refused) == answer(await site.stop(UNKNOWN, method=method)), "it says nothing of the stream"
    assert len(site.streams.active()) == 1
    await leave(client)


@pytest.mark.parametrize("path", ["", "/", "/{id}", "/{id}/stop/", "/{id}/stop/now", "//{id}/stop", "/stop"])
async def test_other_paths_stop_nothing(path: str) -> None:
    site = Site()
    client, stream_id = await site.start()
    target = "/streams" + path.format(id=stream_id)
    asked = await fetch(site.app, target, method="POST", headers=[(b"user", b"ann")])
    assert asked.status in {307, 404}
    assert len(site.streams.active()) == 1
    await leave(client)


@pytest.mark.parametrize("stream_id", MALFORMED, ids=lambda stream_id: repr(stream_id[:12]))
async def test_what_is_no_id_is_unknown(stream_id: str, caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    client, _ = await site.start()
    caplog.set_level(logging.DEBUG, "endwell")
    assert (await site.stop(stream_id)).status == 404
    assert [record for record in caplog.records if record.name.startswith("endwell")] == []
    assert len(site.streams.active()) == 1
    await leave(client)


async def test_a_body_is_not_read() -> None:
    site = Site()
    client, stream_id = await site.start()
    asked = await site.stop(stream_id, body=[b"x" * 65_536] * 100)
    assert asked.json() == {"result": "stopped"}
    assert len(asked._unread) == 100
    await client.finished()


async def test_a_page_from_elsewhere_may_ask_if_the_application_says_so() -> None:
    site = Site()
    site.app.add_middleware(CORSMiddleware, allow_origins=["https://page.example"], allow_methods=["POST"])
    client, stream_id = await site.start()
    origin = (b"origin", b"https://page.example")
    preflight = [origin, (b"access-control-request-method", b"POST")]
    target = f"/streams/{stream_id}/stop"
    assert (await fetch(site.app, target, method="OPTIONS", headers=preflight)).status == 200
    assert len(site.streams.active()) == 1
    stopped = await fetch(site.app, target, method="POST", headers=[origin, (b"user", b"ann")])
    assert stopped.headers["access-control-allow-origin"] == "https://page.example"
    assert stopped.json() == {"result": "stopped"}
    await client.finished()


async def test_a_websocket_is_turned_away() -> None:
    told: list[Any] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        told.append(message["type"])

    scope = {"type": "websocket", "path": f"/streams/{UNKNOWN}/stop", "headers": [], "query_string": b""}
    await Site().app(scope, receive, send)
    assert told == ["websocket.close"]


# -- how long it waits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wait", "seconds"), [(None, 0), (1, 1), (5, 3), (1000.0, 3)])
async def test_it_waits_for_the_cleanup_as_long_as_it_may(wait: float | None, seconds: float) -> None:
    site = Site(wait=wait)
    client, stream_id = await site.start()
    began = asyncio.get_running_loop().time()
    assert (await site.stop(stream_id)).json() == {"result": "stopped"}
    assert asyncio.get_running_loop().time() - began == pytest.approx(seconds)
    await client.finished()


async def test_who_asks_while_it_cleans_up_waits_too() -> None:
    site = Site(wait=10)
    client, stream_id = await site.start()
    client.leave()
    await asyncio.sleep(1)
    began = asyncio.get_running_loop().time()
    assert (await site.stop(stream_id)).json() == {"result": "already_ended"}
    assert asyncio.get_running_loop().time() - began == pytest.approx(2)
    await client.finished()


# -- where it is mounted -------------------------------------------------------------------------------------


def _in_fastapi(endpoint: ASGIApp) -> ASGIApp:
    app = FastAPI()
    app.mount("/api/streams", endpoint)
    return app


def _in_starlette(endpoint: ASGIApp) -> ASGIApp:
    return Starlette(routes=[Mount("/api/streams", endpoint)])


def _in_an_inner_application(endpoint: ASGIApp) -> ASGIApp:
    app = FastAPI()
    app.mount("/api", Starlette(routes=[Mount("/streams", app=endpoint)]))
    return app


@pytest.mark.parametrize("mounted", [_in_fastapi, _in_starlette, _in_an_inner_application])
async def test_it_is_mounted_anywhere(mounted: Callable[[ASGIApp], ASGIApp]) -> None:
    site = Site()
    app = mounted(site.streams.stop_endpoint(owner=user))
    client, stream_id = await site.start()
    target = f"/api/streams/{stream_id}/stop"
    assert (await fetch(app, target)).status == 405
    assert (await fetch(app, target, method="POST")).status == 404
    stopped = await fetch(app, target, method="POST", headers=[(b"user", b"ann")])
    assert stopped.json() == {"result": "stopped"}
    await client.finished()


async def test_it_knows_the_streams_of_its_own_application_only() -> None:
    one, other = Site(), Site()
    client, stream_id = await one.start()
    assert (await other.stop(stream_id)).status == 404
    await leave(client)


async def test_it_does_not_look_like_a_stream() -> None:
    site = Site(wait=5)
    client, stream_id = await site.start()
    await site.stop(stream_id)
    await client.finished()
    assert [ending.id for ending in site.endings] == [stream_id]


@pytest.mark.parametrize("owner", ["ann", 1, object()])
def test_an_owner_is_a_function_of_the_request(owner: Any) -> None:
    with pytest.raises(ConfigurationError, match="owner must be a function of the Request, got "):
        Streams().stop_endpoint(owner=owner)


@pytest.mark.parametrize("wait", [0, -1, float("nan"), "5", True])
def test_a_wait_is_in_seconds(wait: Any) -> None:
    with pytest.raises(
        ConfigurationError, match="wait must be a finite number of seconds, more than 0, or None"
    ):
        Streams().stop_endpoint(wait=wait)


# -- readiness -----------------------------------------------------------------------------------------------


class Probed(Site):
    """An application with a readiness endpoint, registered in each way that there is."""

    def __init__(self, **streams: Any) -> None:
        super().__init__(**streams)
        self.app.add_route("/ready", self.streams.readiness)
        self.app.add_api_route("/api", self.streams.readiness, methods=["GET", "HEAD"])
        self.app.mount("/inner", Starlette(routes=[Route("/ready", self.streams.readiness)]))


PROBES = pytest.mark.parametrize("target", ["/ready", "/api", "/inner/ready"])


@PROBES
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_process_that_takes_streams_is_ready(target: str, method: str) -> None:
    site = Probed()
    async with running(site.app) as state:
        ready = await fetch(site.app, target, method=method, state=state)
        assert ready.status == 200
        assert ready.headers["cache-control"] == "no-store"
        assert "connection" not in ready.headers
        if method == "GET":
            assert ready.body == b'{"status":"ready"}'


@PROBES
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_one_that_goes_away_is_not(target: str, method: str) -> None:
    site = Probed()
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        async with running(site.app) as state:
            client, _ = await site.start(state=state)
            signal.raise_signal(signal.SIGTERM)
            await turns()
            gone = await fetch(site.app, target, method=method, state=state)
            assert gone.status == 503
            assert gone.headers["retry-after"] == "1"
            assert gone.headers["connection"] == "close"
            assert gone.headers["cache-control"] == "no-store"
            if method == "GET":
                assert gone.json() == {"status": "draining"}
        await client.finished()
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("version", "said"), [("1.0", True), ("1", True), ("1.1", True), ("2", False), ("3", False)]
)
async def test_a_connection_is_closed_where_there_is_a_header_for_it(version: str, said: bool) -> None:
    """HTTP/2 knows none, and servers take it for an error of the application's."""
    site = Probed()
    await site.streams.drain()
    gone = await fetch(site.app, "/ready", http_version=version)
    assert ("connection" in gone.headers) is said


async def test_a_process_that_runs_again_is_ready_again() -> None:
    site = Probed()
    await site.streams.drain()
    assert (await fetch(site.app, "/ready")).status == 503
    async with running(site.app):
        assert (await fetch(site.app, "/ready")).status == 200


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_a_probe_asks_and_does_nothing_else(method: str) -> None:
    site = Probed()
    assert (await fetch(site.app, "/ready", method=method)).status == 405


async def test_a_probe_is_no_stream_and_needs_none() -> None:
    site = Probed()
    await fetch(site.app, "/ready")
    assert (site.streams.active(), site.endings) == ([], [])


def test_a_probe_needs_no_thread() -> None:
    """Those of sync endpoints may all be busy, and the process is ready all the same."""
    assert inspect.iscoroutinefunction(Streams().readiness)


# -- what a deployment asks for ------------------------------------------------------------------------------


@pytest.mark.parametrize(("drain", "warnings"), [(20, 0), (29, 1)])
async def test_numbers_that_do_not_fit_are_warned_of_at_startup(
    drain: float, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    streams = Streams(policy=Policy(drain=drain), deployment=Deployment(endpoint_lag=0))
    async with running(FastAPI(lifespan=streams.lifespan)):
        messages = [record.getMessage() for record in caplog.records if record.name == "endwell"]
    assert len(messages) == warnings
    assert all("the process is killed while it shuts down" in message for message in messages)
