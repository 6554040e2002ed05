"""The decorators on Starlette's own endpoints, which are called with the request and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import Message, Receive, Scope, Send

from endwell import ByteStream, EventStream, NDJSONStream, Streams, cancel_on_disconnect
from tests.ext.visits import Client, Endings, fetch, turns

streams = Streams()


@streams.sse
async def annotated(request: Request) -> AsyncIterator[str]:
    yield request.path_params["word"]


@streams.ndjson
async def bare(request: Any) -> AsyncIterator[str]:
    yield request.query_params["q"]


@streams.bytes(media_type="text/plain")
def sync(request: Request) -> Iterator[str]:
    yield request.method


@streams.sse
async def posted(request: Request) -> AsyncIterator[Any]:
    yield (await request.json())["n"]


class Words(HTTPEndpoint):
    @streams.sse
    async def get(self, request: Request) -> AsyncIterator[str]:
        yield f"get {request.path_params['word']}"

    @cancel_on_disconnect
    async def post(self, request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"post {(await request.body()).decode()}")


def returned(_: Request) -> EventStream:
    return EventStream(["a"])


app = Starlette(
    routes=[
        Route("/annotated/{word}", annotated),
        Route("/bare", bare),
        Route("/sync", sync),
        Route("/posted", posted, methods=["POST"]),
        Route("/class/{word}", Words),
        Route("/returned", returned),
        Mount("/mounted", routes=[Route("/{word}", annotated)]),
        Mount("/sse", app=EventStream(["a", "b"])),
        Mount("/ndjson", app=NDJSONStream([1, 2])),
        Mount("/bytes", app=ByteStream([b"a", "b"])),
    ]
)


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/annotated/hi", b"data: hi\n\n"),
        ("/bare?q=hi", b'"hi"\n'),
        ("/sync", b"GET"),
        ("/class/hi", b"data: get hi\n\n"),
        ("/returned", b"data: a\n\n"),
        ("/mounted/hi", b"data: hi\n\n"),
        ("/sse/", b"data: a\n\ndata: b\n\n"),
        ("/ndjson/", b"1\n2\n"),
        ("/bytes/", b"ab"),
    ],
)
async def test_a_route_streams(target: str, body: bytes) -> None:
    client = await fetch(app, target)
    assert (client.status, client.body) == (200, body)


async def test_a_posted_body_is_read_in_the_source() -> None:
    assert (await fetch(app, "/posted", send={"n": 3})).data == ["3"]


async def test_a_plain_method_is_served() -> None:
    assert (await fetch(app, "/class/x", method="POST", body=[b"a", b"b"])).body == b"post ab"


async def test_a_response_of_a_list_can_be_served_again() -> None:
    for _ in range(2):
        assert (await fetch(app, "/sse/")).data == ["a", "b"]


async def test_a_response_of_a_generator_is_served_once() -> None:
    """The second client would get an empty stream that looks complete."""

    async def letters() -> AsyncIterator[str]:
        yield "a"

    response = EventStream(letters())
    assert (await fetch(response)).data == ["a"]
    again = Client(response)
    assert type(await again.over()).__name__ == "SourceInUse"
    assert again.status is None


async def test_a_response_that_is_served_again_releases_what_it_owns_once() -> None:
    released: list[str] = []
    response = EventStream(["a"], owns=[lambda: released.append("a")])
    assert (await fetch(response)).data == ["a"]
    await Client(response).over()
    assert released == ["a"]


async def test_a_response_is_a_starlette_response() -> None:
    response = EventStream(["a"], headers={"x-a": "1"})
    response.headers["x-b"] = "2"
    response.set_cookie("flavour", "plum")
    client = await fetch(response)
    assert client.headers["x-a"] == "1"
    assert client.headers["x-b"] == "2"
    assert client.headers["set-cookie"].startswith("flavour=plum")


async def test_what_is_added_to_one_response_is_never_in_another() -> None:
    """Until somebody asks for them, the headers are those of all of its kind."""
    first, second, third = (EventStream(["a"]) for _ in range(3))
    first.set_cookie("user", "ada")
    second.headers["x-a"] = "1"
    plain = (await fetch(third)).headers.keys()
    assert (await fetch(first)).headers.keys() - plain == {"set-cookie"}
    assert (await fetch(second)).headers.keys() - plain == {"x-a"}


@pytest.mark.parametrize("given", [{}, {"headers": {"x-a": "1"}}])
async def test_what_a_middleware_adds_is_gone_with_the_answer(given: dict[str, Any]) -> None:
    """Some, as Starlette's CORSMiddleware, add to the very list that they are given."""

    async def stamped(scope: Scope, receive: Receive, send: Send) -> None:
        async def stamping(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"x-stamp", b"1"))
            await send(message)

        await response(scope, receive, stamping)

    response = EventStream(["a"], **given)
    assert "x-stamp" in (await fetch(stamped)).headers
    for other in (response, EventStream(["a"])):
        assert "x-stamp" not in (await fetch(other)).headers


async def test_headers_that_were_taken_away_stay_away() -> None:
    response = EventStream(["a"])
    response.raw_headers = []
    assert (await fetch(response)).headers == {}


@pytest.mark.parametrize("path", ["/annotated/x", "/sync", "/class/x"])
async def test_head_gets_the_headers_and_starts_nothing(path: str) -> None:
    """Starlette adds HEAD to every GET route."""
    endings = Endings(streams)
    get, head = await fetch(app, path), await fetch(app, path, method="HEAD")
    await turns()
    assert head.status == get.status
    assert head.headers == get.headers
    assert head.body == b""
    assert [ending.route for ending in endings] == [endings[0].route]


async def test_head_releases_what_the_response_owns() -> None:
    released: list[str] = []
    started: list[str] = []

    async def letters() -> AsyncIterator[str]:
        started.append("letters")
        yield "a"

    response = EventStream(letters(), owns=[lambda: released.append("a"), lambda: released.append("b")])
    client = await fetch(response, method="HEAD")
    assert client.complete
    assert (started, released) == ([], ["b", "a"])


async def test_a_failing_release_at_head_keeps_no_other_from_its_own() -> None:
    released: list[str] = []

    def fail() -> None:
        raise ValueError

    client = Client(EventStream(["a"], owns=[lambda: released.append("a"), fail]), method="HEAD")
    await client.over()
    assert released == ["a"]


async def test_a_client_that_leaves_is_noticed() -> None:
    gone = asyncio.Event()
    own = Streams()
    endings = Endings(own)

    @own.sse
    async def wait(request: Request) -> AsyncIterator[str]:
        try:
            yield "a"
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(1)
            gone.set()

    client = Client(Starlette(routes=[Route("/", wait)]))
    await client.got(b"data: a\n\n")
    client.leave()
    await client.finished()
    assert gone.is_set()
    assert (await endings.only()).outcome == "client_gone"
