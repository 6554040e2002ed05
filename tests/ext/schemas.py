"""Reading and checking the OpenAPI document of an application with streams."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from endwell import Streams


class Token(BaseModel):
    """An item."""

    token: str


TOKEN = {"type": "object", "properties": {"token": {"type": "string"}}, "required": ["token"]}
"""`Token` as `item` gives it."""


def function(annotation: Any, *, sync: bool = False) -> Callable[[], Any]:
    """A generator function with a return annotation."""

    async def items():  # type: ignore[no-untyped-def]  # noqa: ANN202
        yield 1

    def sync_items():  # type: ignore[no-untyped-def]  # noqa: ANN202
        yield 1

    made = sync_items if sync else items
    made.__annotations__["return"] = annotation
    return made


def documented(*endpoints: Callable[..., Any], **routes: Any) -> dict[str, Any]:
    """The schema of an application with these endpoints at /0, /1, …"""
    app = FastAPI()
    for number, endpoint in enumerate(endpoints):
        app.post(f"/{number}", **routes)(endpoint)
    Streams().document(app)
    schema: dict[str, Any] = app.openapi()
    check(schema)
    return schema


def responses(schema: dict[str, Any], path: str = "/0", method: str = "post") -> dict[str, Any]:
    found: dict[str, Any] = schema["paths"][path][method]["responses"]
    return found


def item(schema: dict[str, Any], path: str = "/0") -> Any:
    """The schema of one NDJSON item, its references followed."""
    return resolved(schema, responses(schema, path)["200"]["content"]["application/x-ndjson"]["itemSchema"])


def resolved(schema: dict[str, Any], part: Any, depth: int = 4) -> Any:
    if isinstance(part, list):
        return [resolved(schema, each, depth) for each in part]
    if not isinstance(part, dict) or not depth:
        return part
    if "$ref" in part:
        return resolved(schema, schema["components"]["schemas"][part["$ref"].split("/")[-1]], depth - 1)
    return {
        name: resolved(schema, each, depth)
        for name, each in part.items()
        if name not in {"title", "description"}
    }


# -- whether the document holds ------------------------------------------------------------------------------

MEDIA_TYPE_KEYS = {"schema", "itemSchema", "example", "examples", "encoding"}


def check(schema: dict[str, Any]) -> None:
    """What the OpenAPI specification asks of the parts that endwell writes."""
    components = schema.get("components", {}).get("schemas", {})
    for name in components:
        assert re.fullmatch(r"[a-zA-Z0-9._-]+", name), f"{name!r} is no name of a component"
    for reference in references(schema):
        assert reference.removeprefix("#/components/schemas/") in components, f"{reference} leads nowhere"
    for path in schema["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                assert re.fullmatch(r"[1-5]\d\d", status)
                assert isinstance(response["description"], str)
                for media_type, content in response.get("content", {}).items():
                    assert "/" in media_type
                    assert content.keys() <= MEDIA_TYPE_KEYS


def references(part: Any) -> Iterator[str]:
    if isinstance(part, list):
        for each in part:
            yield from references(each)
    elif isinstance(part, dict):
        for name, each in part.items():
            if name == "$ref":
                yield each
            else:
                yield from references(each)
            assert name != "$defs", "definitions belong to the components"
