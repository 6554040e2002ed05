"""Limits: who is let in, who waits, who is refused, and that nothing is held or begun meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.routing import Route

from endwell import (
    Cause,
    ConfigurationError,
    Ending,
    EventStream,
    Limits,
    Outcome,
    Policy,
    SourceEnd,
    Streams,
)
from tests.ext.guests import begun, inside, leave
from tests.ext.visits import Client, Endings, fetch, turns

EVENT_SOURCE = [(b"accept", b"text/event-stream")]


async def session(request: Request) -> AsyncIterator[None]:
    """What an endpoint would hold while it waits."""
    request.app.state.happened.append("session opened")
    yield
    request.app.state.happened.append("session closed")


def login() -> None:
    raise HTTPException(401)


class Scene:
    """An application with limits, and what has happened in it."""

    def __init__(
        self, *, policy: Policy | None = None, limits: Limits | None = None, **endpoint: Any
    ) -> None:
        self.streams = Streams(policy=policy, limits=limits)
        self.endings = Endings(self.streams)
        self.happened: list[str] = []
        self.app = FastAPI()
        self.app.state.happened = self.happened
        self.app.get("/talk")(self.streams.sse(**endpoint)(self._endpoint()))
        self.app.post("/talk")(self.streams.sse(**endpoint)(self._endpoint()))

        @self.app.get("/bare")
        async def bare() -> EventStream:
            stream = EventStream(self.talk(), owns=[lambda: self.happened.append("released")])
            stream.attach(self.streams._registry, None, (self.streams._registry.gate,))  # type: ignore[arg-type]
            return stream

    def _endpoint(self) -> Any:
        async def talk(session: Annotated[None, Depends(session)]) -> AsyncIterator[str]:
            async for word in self.talk():
                yield word

        return talk

    async def talk(self) -> AsyncIterator[str]:
        self.happened.append("source started")
        yield "a"
        await asyncio.sleep(1000)


# -- over a limit --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/talk", "/bare"])
async def test_over_the_total_it_is_503_and_the_source_never_starts(target: str) -> None:
    scene = Scene(limits=Limits(total=1, retry_after=(3, 4)))
    first = await begun(scene.app)
    scene.happened.clear()
    refused = Client(scene.app, target)
    await refused.finished()
    assert (refused.status, refused.json()["error"]["code"]) == (503, "too_many_streams")
    assert refused.headers["retry-after"] in ("3", "4")
    assert refused.headers["cache-control"] == "no-store"
    assert scene.happened == (["released"] if target == "/bare" else [])
    ending = await scene.endings.only()
    assert (ending.outcome, ending.cause) == (Outcome.REJECTED, Cause.OVER_TOTAL)
    assert (ending.source, ending.chunks, ending.reference) == (
        SourceEnd.NEVER_STARTED,
        0,
        refused.json()["error"]["ref"],
    )
    assert ending.route == target
    await leave(first)
    await leave(await begun(scene.app))
    assert inside(scene.streams) == 0


async def test_over_the_limit_of_a_key_it_is_429() -> None:
    scene = Scene(limits=Limits(total=9, per_key=2))
    clients = [await begun(scene.app) for _ in range(2)]
    refused = Client(scene.app, "/talk")
    await refused.finished()
    assert (refused.status, refused.json()["error"]["code"]) == (429, "too_many_of_yours")
    assert int(refused.headers["retry-after"]) in range(1, 6)
    ending = await scene.endings.only()
    assert (ending.cause, ending.key) == (Cause.OVER_KEY, "192.0.2.1")
    other = await begun(scene.app, client=("10.9.8.7", 4711))
    assert [each.key for each in scene.streams.active()] == ["192.0.2.1", "192.0.2.1", "10.9.8.7"]
    await leave(*clients, other)


@pytest.mark.parametrize("header", [b"9.9.9.9", b"1.1.1.1, 2.2.2.2", b"", b"\xff"])
async def test_a_forged_header_changes_no_limit(header: bytes) -> None:
    scene = Scene(limits=Limits(per_key=1))
    first = await begun(scene.app)
    refused = Client(scene.app, "/talk", headers=[(b"x-forwarded-for", header), (b"forwarded", header)])
    await refused.finished()
    assert refused.status == 429
    await leave(first)


async def test_a_thousand_connections_from_one_address_are_limited() -> None:
    scene = Scene(limits=Limits(total=500, per_key=5))
    clients = [Client(scene.app, "/talk") for _ in range(1000)]
    await turns(50)
    welcome = [client for client in clients if client.status == 200]
    refused = [client for client in clients if client.status == 429]
    assert (len(welcome), len(refused)) == (5, 995)
    assert scene.happened.count("source started") == scene.happened.count("session opened") == 5
    assert all(int(client.headers["retry-after"]) > 0 for client in refused)
    await leave(*welcome)
    assert inside(scene.streams) == 0


async def test_short_of_memory_it_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(limits=Limits(memory=0.9))
    gate = scene.streams._registry.gate
    assert gate is not None
    assert gate._pressure is not None
    first = await begun(scene.app)
    monkeypatch.setattr(type(gate._pressure), "is_high", lambda _: True)
    refused = Client(scene.app, "/talk")
    await refused.finished()
    assert (refused.status, refused.json()["error"]["code"]) == (503, "overloaded")
    assert (await scene.endings.only()).cause is Cause.MEMORY
    await leave(first)


# -- EventSource ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limits", [Limits(total=1), Limits(per_key=1)])
@pytest.mark.parametrize("target", ["/talk", "/bare"])
async def test_an_event_source_is_told_to_come_back(limits: Limits, target: str) -> None:
    """An error status would stop it for good."""
    scene = Scene(policy=Policy(soft_refusal=True), limits=limits, headers={"x-own": "header"})
    first = await begun(scene.app)
    refused = Client(scene.app, target, headers=EVENT_SOURCE)
    await refused.finished()
    assert (refused.status, refused.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    field, _, value = refused.body.decode().partition(": ")
    assert (field, value[-2:]) == ("retry", "\n\n")
    assert 1000 <= int(value) <= 5000
    assert refused.headers.get("x-own") == ("header" if target == "/talk" else None)
    assert (await scene.endings.only()).outcome is Outcome.REJECTED
    curl = Client(scene.app, target)
    await curl.finished()
    assert curl.status in (429, 503)
    await leave(first)


async def test_what_a_middleware_adds_for_one_who_is_turned_away_is_for_nobody_else() -> None:
    """A list of headers that all of them shared would hand on the cookies of others."""
    scene = Scene(policy=Policy(soft_refusal=True), limits=Limits(total=1))

    @scene.app.middleware("http")
    async def remember(request: Request, call_next: Any) -> Any:
        response = await call_next(request)
        response.set_cookie("user", request.headers.get("user", ""))
        return response

    first = await begun(scene.app)
    for name in ("ann", "bob"):
        refused = await fetch(scene.app, "/talk", headers=[*EVENT_SOURCE, (b"user", name.encode())])
        cookies = [value for key, value in refused.sends[0].message["headers"] if key == b"set-cookie"]
        assert (refused.status, cookies) == (200, [f"user={name}; Path=/; SameSite=lax".encode()])
    await leave(first)


# -- the queue -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/talk", "/bare"])
async def test_who_waits_holds_nothing_and_comes_in_when_somebody_leaves(target: str) -> None:
    scene = Scene(limits=Limits(total=1, queue=2, wait=30))
    first = await begun(scene.app)
    scene.happened.clear()
    second = Client(scene.app, target)
    await asyncio.sleep(10)
    assert (second.status, scene.happened) == (None, [])
    first.leave()
    await second.got(b"data: a\n\n")
    assert asyncio.get_running_loop().time() == 10
    await leave(first, second)
    assert inside(scene.streams) == 0
    assert [ending.duration for ending in scene.endings] == [10, 0]


@pytest.mark.parametrize("target", ["/talk", "/bare"])
async def test_who_waits_for_too_long_is_refused(target: str) -> None:
    scene = Scene(limits=Limits(total=1, queue=2, wait=4))
    first = await begun(scene.app)
    refused = Client(scene.app, target)
    await refused.finished()
    assert (refused.status, asyncio.get_running_loop().time()) == (503, 4)
    ending = await scene.endings.only()
    assert (ending.cause, ending.duration) == (Cause.OVER_TOTAL, 4)
    await leave(first)


@pytest.mark.parametrize("target", ["/talk", "/bare"])
async def test_who_leaves_while_waiting_is_noticed_and_has_an_ending(target: str) -> None:
    scene = Scene(limits=Limits(total=1, queue=1, wait=30))
    first = await begun(scene.app)
    scene.happened.clear()
    waiting = Client(scene.app, target)
    await asyncio.sleep(1)
    await leave(waiting)
    assert asyncio.get_running_loop().time() == 1
    ending = await scene.endings.only()
    assert (ending.outcome, ending.source) == (Outcome.CLIENT_GONE, SourceEnd.NEVER_STARTED)
    assert "source started" not in scene.happened
    next_one = Client(scene.app, target)  # its place in the queue is free
    await leave(first)
    await next_one.got(b"data: a\n\n")
    await leave(next_one)
    assert inside(scene.streams) == 0


@pytest.mark.parametrize("target", ["/talk", "/bare"])
async def test_who_waits_when_the_process_goes_is_turned_away_at_once(target: str) -> None:
    scene = Scene(limits=Limits(total=1, queue=1, wait=30))
    first = await begun(scene.app)
    waiting = Client(scene.app, target)
    await asyncio.sleep(1)
    await scene.streams.drain()
    await waiting.finished()
    assert (waiting.status, waiting.json()["error"]["code"]) == (503, "drained")
    await first.finished()
    await turns()
    assert sorted(ending.outcome for ending in scene.endings) == ["drained", "rejected"]


async def test_a_body_that_was_read_while_waiting_is_there_for_the_endpoint() -> None:
    streams = Streams(limits=Limits(total=1, queue=1))
    app = FastAPI()

    @app.post("/echo")
    @streams.sse
    async def echo(request: Request) -> AsyncIterator[str]:
        yield (await request.body()).decode()
        await asyncio.sleep(1000)

    first = Client(app, "/echo", method="POST", body=[b"one"])
    await first.got(b"data: one\n\n")
    second = Client(app, "/echo", method="POST", body=[b"tw", b"o"])
    await asyncio.sleep(1)
    first.leave()
    await second.got(b"data: two\n\n")
    await leave(first, second)


@pytest.mark.parametrize("is_read", [False, True])
async def test_a_large_body_that_nobody_reads_does_not_hide_who_leaves(*, is_read: bool) -> None:
    scene = Scene(limits=Limits(total=1, queue=1))
    first = await begun(scene.app)
    second = Client(scene.app, "/talk", method="POST", body=[b"x" * 65536] * 64)
    await asyncio.sleep(1)
    first.leave()
    if is_read:
        await second.got(b"data: a\n\n")
    await leave(first, second)
    assert inside(scene.streams) == 0


# -- places are never lost -----------------------------------------------------------------------------------


async def test_a_dependency_that_fails_gives_the_place_back() -> None:
    streams = Streams(limits=Limits(total=1))
    app = FastAPI()

    @app.get("/", dependencies=[])
    @streams.sse
    async def talk(user: Annotated[None, Depends(login)]) -> AsyncIterator[str]:
        yield "a"

    for _ in range(3):
        client = Client(app)
        await client.finished()
        assert client.status == 401
    assert inside(streams) == 0


async def test_a_request_that_is_cancelled_while_it_waits_gives_its_place_back() -> None:
    scene = Scene(limits=Limits(total=1, queue=1))
    first = await begun(scene.app)
    waiting = Client(scene.app, "/bare")
    await asyncio.sleep(1)
    waiting.task.cancel()
    await asyncio.wait([waiting.task])
    assert "released" in scene.happened
    next_one = Client(scene.app, "/bare")
    await leave(first)
    await next_one.got(b"data: a\n\n")
    await leave(next_one)
    assert inside(scene.streams) == 0


# -- keys ----------------------------------------------------------------------------------------------------


async def _user(request: StarletteRequest) -> str | None:
    return request.headers.get("user")


async def test_a_key_of_ones_own_may_be_async_and_may_be_none() -> None:
    scene = Scene(limits=Limits(per_key=1, key=_user))
    ada = await begun(scene.app, headers=[(b"user", b"ada")])
    again = Client(scene.app, "/talk", headers=[(b"user", b"ada")])
    await again.finished()
    assert again.status == 429
    uncounted = [await begun(scene.app) for _ in range(3)]
    await leave(ada, *uncounted)


@pytest.mark.parametrize("target", ["/talk", "/bare"])
async def test_a_key_that_raises_answers_the_request(target: str) -> None:
    def key(request: StarletteRequest) -> str:
        raise HTTPException(401, "who are you?")

    scene = Scene(limits=Limits(per_key=1, key=key))
    client = Client(scene.app, target)
    await client.finished()
    assert (client.status, client.json()) == (401, {"detail": "who are you?"})
    assert "source started" not in scene.happened
    assert scene.endings == []


@pytest.mark.parametrize("target", ["/talk", "/bare"])
async def test_a_key_that_cannot_be_counted_by_is_an_error_that_says_so(target: str) -> None:
    scene = Scene(limits=Limits(per_key=1, key=lambda _: ["a", "list"]))
    with pytest.raises(ConfigurationError, match="can be hashed"):
        await Client(scene.app, target).finished()


# -- one endpoint's own --------------------------------------------------------------------------------------


async def test_an_endpoint_may_have_limits_of_its_own_besides_the_applications() -> None:
    streams = Streams(limits=Limits(total=2))
    app = FastAPI()

    async def talk() -> AsyncIterator[str]:
        yield "a"
        await asyncio.sleep(1000)

    app.get("/few")(streams.sse(limits=Limits(total=1))(talk))
    app.get("/many")(streams.sse(talk))
    few = await begun(app, "/few")
    refused = Client(app, "/few")
    await refused.finished()
    assert refused.status == 503
    many = await begun(app, "/many")  # who was refused there takes no place here
    full = Client(app, "/many")
    await full.finished()
    assert full.status == 503
    await leave(few, many)
    await leave(await begun(app, "/few"), await begun(app, "/many"))


async def test_who_is_refused_is_told_to_the_endpoints_own_callback() -> None:
    told: list[Ending] = []

    async def hear(ending: Ending) -> None:
        told.append(ending)

    scene = Scene(limits=Limits(total=1), on_end=hear)
    first = await begun(scene.app)
    refused = Client(scene.app, "/talk")
    await refused.finished()
    await turns()
    assert [ending.outcome for ending in told] == [Outcome.REJECTED]
    await leave(first)


@pytest.mark.parametrize("limits", [5, {"total": 5}, "5"])
def test_limits_must_be_limits(limits: Any) -> None:
    with pytest.raises(ConfigurationError, match="limits must be Limits"):
        Streams(limits=limits)
    with pytest.raises(ConfigurationError, match="limits must be Limits"):
        Streams().sse(limits=limits)


async def test_an_applications_own_handlers_answer_as_before() -> None:
    """What answers a refusal is nobody's handler for HTTP errors; but it may be replaced."""
    scene = Scene(limits=Limits(total=1))
    seen: list[int] = []

    @scene.app.exception_handler(HTTPException)
    async def mine(request: Request, error: HTTPException) -> Any:
        seen.append(error.status_code)

    first = await begun(scene.app)
    refused = Client(scene.app, "/talk")
    await refused.finished()
    assert (refused.status, seen) == (503, [])
    await leave(first)


async def test_under_starlette_the_response_passes_the_gates() -> None:
    streams = Streams(limits=Limits(total=1))

    @streams.sse
    async def talk(request: StarletteRequest) -> AsyncIterator[str]:
        yield "a"
        await asyncio.sleep(1000)

    app = Starlette(routes=[Route("/talk", talk)])
    first = await begun(app)
    refused = Client(app, "/talk")
    await refused.finished()
    assert (refused.status, refused.json()["error"]["code"]) == (503, "too_many_streams")
    await leave(first)
    await leave(await begun(app))


async def test_sync_sources_pass_them_too() -> None:
    streams = Streams(limits=Limits(total=1))
    app = FastAPI()

    @app.get("/talk")
    @streams.sse
    def talk() -> Iterator[str]:
        yield "a"

    for _ in range(3):
        client = Client(app, "/talk")
        await client.finished()
        assert client.status == 200
