"""What OpenAPI says of a streaming operation besides its items, and when it says so."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI

from endwell import ByteStream, Streams
from tests.ext.schemas import TOKEN, Token, documented, function, item, responses
from tests.ext.visits import running

# -- bytes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("media_type", ["text/csv", "image/png", ByteStream.media_type])
def test_bytes_are_described_by_their_media_type(media_type: str) -> None:
    endpoint = Streams().bytes(media_type=media_type)(function(AsyncIterator[bytes]))
    assert list(responses(documented(endpoint))["200"]["content"]) == [media_type]


# -- the operation -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["route", "decorator"])
def test_there_is_one_response_with_the_status_it_has(where: str) -> None:
    streams = Streams()
    options = {"status": 201} if where == "decorator" else {}
    routes = {"status_code": 201} if where == "route" else {}
    made = responses(documented(streams.ndjson(**options)(function(AsyncIterator[Token])), **routes))  # type: ignore[call-overload]
    assert list(made) == ["201"]
    assert list(made["201"]["content"]) == ["application/x-ndjson"]


def test_what_the_route_says_of_itself_is_kept() -> None:
    async def items(n: int) -> AsyncIterator[Token]:
        """What it does.

        At length.
        """
        yield Token(token=str(n))

    schema = documented(
        Streams().ndjson(items),
        tags=["items"],
        response_description="All of them.",
        responses={404: {"description": "There are none."}},
        operation_id="list_items",
    )
    operation = schema["paths"]["/0"]["post"]
    assert operation["tags"] == ["items"]
    assert operation["operationId"] == "list_items"
    assert operation["summary"] == "Items"
    assert operation["description"].startswith("What it does.")
    assert operation["responses"]["200"]["description"] == "All of them."
    assert operation["responses"].keys() == {"200", "404", "422"}
    assert [each["name"] for each in operation["parameters"]] == ["n"]


def test_other_operations_are_left_alone() -> None:
    async def plain() -> Token:
        return Token(token="a")

    app, untouched = FastAPI(), FastAPI()
    for each in (app, untouched):
        each.get("/")(plain)
    app.post("/")(Streams().ndjson(function(AsyncIterator[Token])))
    Streams().document(app)
    assert app.openapi()["paths"]["/"]["get"] == untouched.openapi()["paths"]["/"]["get"]


@pytest.mark.parametrize("prefix", ["", "/api", "/tenant/{tenant}"])
def test_streams_of_included_routers_are_described(prefix: str) -> None:
    app, outer, inner = FastAPI(), APIRouter(), APIRouter(prefix="/inner")
    inner.get("/{n}")(Streams().ndjson(function(AsyncIterator[Token])))
    outer.include_router(inner, prefix="/outer")
    app.include_router(outer, prefix=prefix)
    Streams().document(app)
    schema = app.openapi()
    content = responses(schema, f"{prefix}/outer/inner/{{n}}", "get")["200"]["content"]
    assert list(content) == ["application/x-ndjson"]


def test_one_endpoint_under_two_paths_and_methods_is_described_under_all() -> None:
    app, endpoint = FastAPI(), Streams().ndjson(function(AsyncIterator[Token]))
    app.get("/a")(endpoint)
    app.post("/a")(endpoint)
    app.get("/b/{rest:path}")(endpoint)
    Streams().document(app)
    schema = app.openapi()
    found = [
        responses(schema, path, method)
        for path, method in (("/a", "get"), ("/a", "post"), ("/b/{rest}", "get"))
    ]
    assert [list(each["200"]["content"]) for each in found] == [["application/x-ndjson"]] * 3


def test_a_stream_that_is_not_in_the_schema_stays_out() -> None:
    app = FastAPI()
    app.get("/", include_in_schema=False)(Streams().ndjson(function(AsyncIterator[Token])))
    Streams().document(app)
    assert app.openapi()["paths"] == {}


# -- when ----------------------------------------------------------------------------------------------------


def test_asked_twice_it_says_the_same() -> None:
    app = FastAPI()
    app.post("/")(Streams().sse(function(AsyncIterator[Token])))
    Streams().document(app)
    first = copy.deepcopy(app.openapi())
    assert app.openapi() == first


def test_documented_twice_it_says_the_same() -> None:
    app = FastAPI()
    app.post("/")(Streams().sse(function(AsyncIterator[Token])))
    Streams().document(app)
    first = copy.deepcopy(app.openapi())
    Streams().document(app)
    assert app.openapi() == first


def test_a_route_added_later_is_described_too() -> None:
    app = FastAPI()
    Streams().document(app)
    app.post("/0")(Streams().ndjson(function(AsyncIterator[Token])))
    assert item(app.openapi()) == TOKEN


async def test_the_lifespan_documents_the_application() -> None:
    streams = Streams()
    app = FastAPI(lifespan=streams.lifespan)
    app.post("/0")(streams.ndjson(function(AsyncIterator[Token])))
    async with running(app):
        assert item(app.openapi()) == TOKEN


def test_the_applications_own_openapi_is_built_upon() -> None:
    app = FastAPI()
    app.post("/0")(Streams().ndjson(function(AsyncIterator[Token])))
    original = app.openapi

    def own() -> dict[str, Any]:
        schema = original()
        schema["info"]["title"] = "Own"
        return schema

    app.openapi = own  # type: ignore[method-assign]
    Streams().document(app)
    assert app.openapi()["info"]["title"] == "Own"
    assert item(app.openapi()) == TOKEN


def test_what_is_no_fastapi_application_needs_no_document() -> None:
    Streams().document(SimpleNamespace())
