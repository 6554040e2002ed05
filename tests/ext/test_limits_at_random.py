"""Whoever comes, waits, leaves, fails or is cut off, in whatever order: every place comes back.

With the 5,000 examples of `make prove`, some 25,000 guests come. What fails is not made smaller: it is small,
and that would take minutes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.routing import Route

from endwell import EventStream, Finish, Limits, Policy, Streams
from endwell.types import ASGIApp
from tests.ext.visits import Client, Endings, turns

LATER = 30  # seconds after which all must be over


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What fails, fails on purpose."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@dataclass(frozen=True)
class Errand:
    """What happens on the way of a request: it takes some seconds, and may fail."""

    seconds: float
    error: type[Exception] | None = None

    async def run(self) -> None:
        if self.seconds:
            await asyncio.sleep(self.seconds)
        if self.error is HTTPException:
            raise HTTPException(401)
        if self.error is not None:
            raise self.error


@dataclass(frozen=True)
class Guest:
    """One request.

    Args:
        after: Seconds after the one before.
        client: What kind of client it is.
        key, dependency, source: What happens on its way.
        does: What its client does then: after so many seconds, and turns of the loop.
    """

    after: float
    client: dict[str, Any]
    key: Errand
    dependency: Errand
    source: Errand
    does: tuple[float, int, str]


@dataclass(frozen=True)
class Evening:
    """An application with limits, all who come, and how soon after the last of them the process goes away."""

    kind: str
    limits: Limits
    queue: int | None
    policy: Policy
    guests: list[Guest]
    drains: float | None


seconds = st.sampled_from([0, 0.3, 1, 3])


def errands(*errors: type[Exception] | None) -> st.SearchStrategy[Errand]:
    return st.builds(Errand, seconds, st.sampled_from(errors))


guests = st.builds(
    Guest,
    after=st.sampled_from([0, 0, 0.1, 0.5]),
    client=st.fixed_dictionaries(
        {
            "method": st.sampled_from(["GET", "GET", "GET", "POST", "HEAD"]),
            "latency": st.sampled_from([None, None, 0, 0.1]),
            "sticky": st.booleans(),
        }
    ),
    key=errands(None, None, None, None, None, HTTPException, LookupError),
    dependency=errands(None, None, HTTPException, LookupError),
    source=errands(None, None, None, LookupError),
    does=st.tuples(
        seconds, st.integers(0, 6), st.sampled_from(["stay", "leave", "leave", "break", "cancel"])
    ),
)
evenings = st.builds(
    Evening,
    kind=st.sampled_from(["starlette", "fastapi", "middleware"]),
    limits=st.builds(
        Limits,
        total=st.sampled_from([1, 1, 2]),
        queue=st.sampled_from([None, 2, 5]),
        wait=st.sampled_from([0.5, 3, 10]),
    ),
    queue=st.sampled_from([None, 3]),
    policy=st.builds(Policy, soft_refusal=st.booleans(), on_leave=st.sampled_from(["cancel", Finish(2)])),
    guests=st.lists(guests, min_size=3, max_size=8),
    drains=st.sampled_from([None, None, None, 0, 1]),
)


class House:
    """The application of an evening, and what became of its guests."""

    def __init__(self, evening: Evening) -> None:
        self.evening = evening
        self.streams = Streams(limits=evening.limits, policy=evening.policy)
        self.endings = Endings(self.streams)
        self.running = self.most = 0
        own = Limits(total=9, per_key=2, key=self._key, queue=evening.queue, wait=2)
        self.decorate = self.streams.sse(limits=own)
        self.app: ASGIApp = _APPLICATIONS[evening.kind](self)

    def guest(self, request: StarletteRequest) -> Guest:
        return self.evening.guests[int(request.headers["guest"])]

    async def _key(self, request: StarletteRequest) -> str:
        await self.guest(request).key.run()
        return "odd" if int(request.headers["guest"]) % 2 else "even"

    async def talk(self, guest: Guest) -> AsyncIterator[str]:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            yield "a"
            await guest.source.run()
            yield "b"
        finally:
            self.running -= 1

    async def visit(self, number: int, guest: Guest) -> Client:
        headers = [(b"guest", b"%d" % number), (b"accept", b"text/event-stream")]
        state = {"endwell": self.streams._registry}
        client = Client(self.app, "/talk", headers=headers, state=state, **guest.client)
        seconds, turns_, what = guest.does
        await asyncio.sleep(seconds)
        await turns(turns_)
        match what:
            case "leave":
                client.leave()
            case "break":
                client.leave(OSError("broken"))
            case "cancel" if self.evening.kind != "middleware":  # Starlette's leaves a generator behind then
                client.task.cancel()
        return client

    def assert_empty(self) -> None:
        """Nobody is inside, nobody waits, nothing is counted."""
        registry = self.streams._registry
        for gate in registry._gates:
            admission = gate._admission
            assert (admission.inside, admission.waiting, admission.counts) == (0, 0, {})
        assert registry._unattended.running == 0
        assert registry.active() == []
        assert self.running == 0


def _starlette(house: House) -> ASGIApp:
    async def talk(request: StarletteRequest) -> AsyncIterator[str]:
        async for word in house.talk(house.guest(request)):
            yield word

    return Starlette(routes=[Route("/talk", house.decorate(talk), methods=["GET", "POST"])])


async def _dependency(request: Request) -> AsyncIterator[None]:
    await request.app.state.house.guest(request).dependency.run()
    yield


def _fastapi(house: House) -> FastAPI:
    async def talk(request: Request, _: Annotated[None, Depends(_dependency)]) -> AsyncIterator[str]:
        async for word in house.talk(house.guest(request)):
            yield word

    app = FastAPI()
    app.state.house = house
    app.add_api_route("/talk", house.decorate(talk), methods=["GET", "POST", "HEAD"])

    @app.exception_handler(LookupError)
    async def explain(request: Request, error: LookupError) -> EventStream:
        return EventStream(house.talk(house.guest(request)))

    return app


def _middleware(house: House) -> FastAPI:
    app = _fastapi(house)

    @app.middleware("http")
    async def pass_on(request: Request, call_next: Any) -> Any:
        return await call_next(request)

    return app


_APPLICATIONS: dict[str, Callable[[House], ASGIApp]] = {
    "starlette": _starlette,
    "fastapi": _fastapi,
    "middleware": _middleware,
}


@given(evening=evenings)
@settings(phases=[Phase.reuse, Phase.generate], suppress_health_check=[HealthCheck.too_slow])
async def test_every_place_comes_back(evening: Evening) -> None:
    house = House(evening)
    visits = []
    for number, guest in enumerate(evening.guests):
        await asyncio.sleep(guest.after)
        visits.append(asyncio.create_task(house.visit(number, guest)))
    if evening.drains is not None:
        await asyncio.sleep(evening.drains)
        house.streams._registry.drain()
    for visit in visits:
        await (await visit).over()
    await asyncio.sleep(LATER)
    house.assert_empty()
    assert evening.limits.total is not None
    assert house.most <= evening.limits.total
    assert len({ending.id for ending in house.endings}) == len(house.endings) <= 2 * len(evening.guests)
