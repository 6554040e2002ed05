"""FastAPI's parameters, dependencies and validation on decorated endpoints, annotations as text or not."""

from __future__ import annotations
import __future__

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fastapi import FastAPI

from tests.ext import endpoints
from tests.ext.visits import fetch

CHAT = {"model": "m", "messages": ["a", "b"]}


@pytest.fixture(params=[0, __future__.annotations.compiler_flag], ids=["types", "text"])
def module(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """The endpoints' module, its annotations compiled as they are or as text."""
    name, file = f"tests.ext.endpoints_{request.param}", Path(endpoints.__file__)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    made = sys.modules[name] = importlib.util.module_from_spec(spec)
    source = file.read_text(encoding="utf-8")
    exec(compile(source, file, "exec", flags=request.param, dont_inherit=True), made.__dict__)
    yield made
    del sys.modules[name]


@pytest.fixture
def app(module: ModuleType) -> FastAPI:
    app = FastAPI()
    app.include_router(module.router, prefix="/api")
    return app


def test_the_module_is_compiled_both_ways(request: pytest.FixtureRequest, module: ModuleType) -> None:
    as_text = isinstance(module.user.__annotations__["return"], str)
    assert as_text is ("text" in request.node.name)


@pytest.mark.parametrize(
    ("target", "data"),
    [
        ("none", "nothing asked"),
        ("path", "7"),
        ("query?n=3&tag=a&tag=b", "(3, ('a', 'b'))"),
        ("header", "('t', 'plum')"),
        ("depends?limit=5", '[5,0,"nobody"]'),
        ("request", "GET 7 /api/room/7/request"),
        ("annotated-request", "GET"),
        ("connection", "/api/room/7/connection"),
    ],
)
async def test_parameters_arrive(app: FastAPI, target: str, data: str) -> None:
    headers = [(b"x-token", b"t"), (b"cookie", b"flavour=plum")]
    client = await fetch(app, f"/api/room/7/{target}", headers=headers)
    assert client.data == [data]


async def test_a_body_and_a_dependency_arrive(app: FastAPI) -> None:
    client = await fetch(app, "/api/room/7/body", send=CHAT, headers=[(b"authorization", b"ann")])
    assert client.frames == [b'{"token":"ann asks m: a"}', b'{"token":"ann asks m: b"}']


async def test_embedded_bodies_arrive(app: FastAPI) -> None:
    client = await fetch(app, "/api/room/7/embedded", send={"chat": CHAT, "n": 3})
    assert client.body == b'["m",3]\n'


async def test_a_sync_generator_gets_its_parameters(app: FastAPI) -> None:
    client = await fetch(app, "/api/room/7/sync?rows=3")
    assert client.body == b"7,0\n7,1\n7,2\n"


async def test_a_plain_handler_gets_its_parameters(app: FastAPI) -> None:
    client = await fetch(app, "/api/room/7/plain", send=CHAT)
    assert client.json() == {"room": "7", "model": "m", "user": "nobody", "method": "POST"}


async def test_a_plain_handler_needs_no_parameters(app: FastAPI) -> None:
    assert (await fetch(app, "/api/room/7/plain")).json() is None


@pytest.mark.parametrize(
    ("target", "posted", "location"),
    [
        ("path", None, ["path", "room"]),
        ("query?n=0", None, ["query", "n"]),
        ("query?n=many", None, ["query", "n"]),
        ("query", None, ["query", "n"]),
        ("header", None, ["header", "x-token"]),
        ("body", {"model": "m", "messages": []}, ["body", "messages"]),
        ("body", {"messages": ["a"]}, ["body", "model"]),
        ("body", [], ["body"]),
        ("plain", {"messages": ["a"]}, ["body", "model"]),
    ],
)
async def test_what_is_not_valid_is_422_and_starts_nothing(
    app: FastAPI, module: ModuleType, target: str, posted: Any, location: list[str]
) -> None:
    client = await fetch(app, f"/api/room/x/{target}", send=posted)
    assert client.status == 422
    assert client.json()["detail"][0]["loc"] == location
    assert module.started == []


async def test_dependencies_can_be_overridden(app: FastAPI, module: ModuleType) -> None:
    app.dependency_overrides[module.user] = lambda: "override"
    client = await fetch(app, "/api/room/7/depends")
    assert client.data == ['[10,0,"override"]']


def test_fastapi_sees_the_parameters_and_none_of_ours(app: FastAPI) -> None:
    paths = app.openapi()["paths"]
    names = [each["name"] for each in paths["/api/room/{room}/query"]["get"]["parameters"]]
    assert names == ["n", "tag"]
    assert "endwell" not in str(paths)
