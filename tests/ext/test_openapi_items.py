"""FastAPI's OpenAPI describes one item of each stream, from the generator's annotation."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Generic, TypeVar

import pytest
from pydantic import BaseModel, ConfigDict, computed_field

from endwell import Event, EventStream, Streams
from tests.ext.schemas import TOKEN, Token, documented, function, item, resolved, responses

T = TypeVar("T")


class Usage(BaseModel):
    tokens: list[Token]


@dataclass
class Point:
    x: int
    label: Token


class Row(BaseModel):
    n: int


class Page(BaseModel, Generic[T]):
    items: list[T]


class Titled(BaseModel):
    model_config = ConfigDict(title="A title / with all sorts")
    a: int


class Item(BaseModel):
    """Has one field more when it is sent than when it is received."""

    price: int = 1

    @computed_field
    def doubled(self) -> int:
        return 2 * self.price


class Node(BaseModel):
    children: list[Node]


TokenElsewhere: Any = type("Token", (BaseModel,), {"__module__": "elsewhere", "__annotations__": {"n": int}})
UsageElsewhere: Any = type(
    "Usage", (BaseModel,), {"__module__": "elsewhere", "__annotations__": {"tokens": list[TokenElsewhere]}}
)


async def no_annotation():  # type: ignore[no-untyped-def]  # noqa: ANN201
    yield 1


async def a_bare_iterator() -> AsyncIterator:  # type: ignore[type-arg]
    yield 1


async def anything() -> AsyncIterator[Any]:
    yield 1


# -- server-sent events --------------------------------------------------------------------------------------

JSON = {"type": "string", "contentMediaType": "application/json"}
TEXT = {"type": "string"}


def sse_item(schema: dict[str, Any]) -> dict[str, Any]:
    content = responses(schema)["200"]["content"]
    assert list(content) == ["text/event-stream"]
    made: dict[str, Any] = resolved(schema, content["text/event-stream"]["itemSchema"])
    return made


@pytest.mark.parametrize(
    ("annotation", "data"),
    [
        (AsyncIterator[Token], {**JSON, "contentSchema": TOKEN}),
        (AsyncIterable[Token], {**JSON, "contentSchema": TOKEN}),
        (AsyncGenerator[Token, None], {**JSON, "contentSchema": TOKEN}),
        (
            AsyncIterator[dict[str, int]],
            {**JSON, "contentSchema": {"type": "object", "additionalProperties": {"type": "integer"}}},
        ),
        (AsyncIterator[str], TEXT),
        (AsyncIterator[Event], TEXT),
        (AsyncIterator[Any], TEXT),
        (AsyncIterator, TEXT),
        (None, TEXT),
        (EventStream, TEXT),
    ],
    ids=str,
)
def test_an_event_is_described_by_its_data(annotation: Any, data: dict[str, Any]) -> None:
    made = sse_item(documented(Streams().sse(function(annotation))))
    assert made["type"] == "object"
    assert made["required"] == ["data"]
    assert made["properties"]["data"] == data
    assert made["properties"].keys() == {"data", "event", "id", "retry"}


def test_no_annotation_is_no_fault() -> None:
    streams = Streams()
    for each in (no_annotation, a_bare_iterator, anything):
        assert sse_item(documented(streams.sse(each)))["properties"]["data"] == TEXT


# -- ndjson --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (AsyncIterator[Token], TOKEN),
        (AsyncIterator[str], {"type": "string"}),
        (AsyncIterator[int | None], {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (
            AsyncIterator[Token | Row],
            {
                "anyOf": [
                    TOKEN,
                    {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
                ]
            },
        ),
        (
            AsyncIterator[Usage],
            {
                "type": "object",
                "properties": {"tokens": {"type": "array", "items": TOKEN}},
                "required": ["tokens"],
            },
        ),
        (
            AsyncIterator[Point],
            {
                "type": "object",
                "properties": {"x": {"type": "integer"}, "label": TOKEN},
                "required": ["x", "label"],
            },
        ),
        (
            AsyncIterator[Page[Token]],
            {
                "type": "object",
                "properties": {"items": {"type": "array", "items": TOKEN}},
                "required": ["items"],
            },
        ),
        (AsyncIterator[list[Token]], {"type": "array", "items": TOKEN}),
        (
            AsyncIterator[Titled],
            {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
        ),
        (AsyncIterator[Any], {}),
        (None, {}),
    ],
    ids=str,
)
def test_a_line_is_described_by_the_item(annotation: Any, expected: Any) -> None:
    assert item(documented(Streams().ndjson(function(annotation)))) == expected


@pytest.mark.parametrize(
    "annotation", [Iterator[Token], Iterable[Token], Generator[Token, None, None]], ids=str
)
def test_a_sync_generators_item_is_described_too(annotation: Any) -> None:
    assert item(documented(Streams().ndjson(function(annotation, sync=True)))) == TOKEN


def test_a_model_that_refers_to_itself_is_described() -> None:
    schema = documented(Streams().ndjson(function(AsyncIterator[Node])))
    assert schema["components"]["schemas"]["Node"]["properties"]["children"]["items"]["$ref"].endswith(
        "/Node"
    )


def test_two_models_of_one_name_are_told_apart() -> None:
    streams = Streams()
    schema = documented(
        streams.ndjson(function(AsyncIterator[Token])),
        streams.ndjson(function(AsyncIterator[TokenElsewhere])),
    )
    assert item(schema, "/0") == TOKEN
    assert item(schema, "/1")["properties"] == {"n": {"type": "integer"}}


def test_two_models_of_one_name_are_told_apart_deep_inside() -> None:
    streams = Streams()
    annotation: Any = AsyncIterator[UsageElsewhere]
    schema = documented(
        streams.ndjson(function(AsyncIterator[Usage])),
        streams.ndjson(function(annotation)),
        streams.sse(function(annotation)),
    )
    assert item(schema, "/0")["properties"]["tokens"]["items"] == TOKEN
    assert item(schema, "/1")["properties"]["tokens"]["items"]["properties"] == {"n": {"type": "integer"}}
    assert len(schema["components"]["schemas"]) == 4


def test_what_is_sent_is_described_and_not_what_is_received() -> None:
    async def double(item: Item) -> AsyncIterator[Item]:
        yield item

    schema = documented(Streams().ndjson(double))
    assert item(schema)["properties"].keys() == {"price", "doubled"}
    body = schema["paths"]["/0"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert resolved(schema, body)["properties"].keys() == {"price"}


# -- what cannot be described --------------------------------------------------------------------------------


UNRESOLVED: list[Any] = ["AsyncIterator[Nowhere]", AsyncIterator["Nowhere"]]  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize("annotation", UNRESOLVED, ids=str)
def test_an_annotation_nobody_can_resolve_breaks_no_documentation(annotation: Any) -> None:
    assert item(documented(Streams().ndjson(function(annotation)))) == {}


@pytest.mark.parametrize("thing", [SimpleNamespace, type("Opaque", (), {}), Callable[[], int]], ids=str)
def test_an_item_nobody_can_describe_is_anything(thing: Any) -> None:
    assert item(documented(Streams().ndjson(function(AsyncIterator[thing])))) == {}
