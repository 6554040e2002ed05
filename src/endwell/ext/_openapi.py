"""FastAPI's OpenAPI for streaming endpoints: the media type, and the schema of one item.

It works on the finished schema, through the hook that FastAPI documents for that (`app.openapi`), so it
depends on nothing that FastAPI keeps to itself.
"""

from __future__ import annotations

import collections.abc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, get_args, get_origin

STREAM_MARK = "__endwell_stream__"
"""The attribute by which an endpoint says that it is a stream."""

_ITERATORS = (
    collections.abc.AsyncIterator,
    collections.abc.AsyncIterable,
    collections.abc.AsyncGenerator,
    collections.abc.Iterator,
    collections.abc.Iterable,
    collections.abc.Generator,
)
_REFERENCE = "#/components/schemas/{model}"


@dataclass(frozen=True, slots=True)
class StreamMark:
    """What a schema needs to know of a streaming endpoint."""

    media_type: str
    item: Any
    status: int

    @classmethod
    def of(cls, response: Any, annotation: Any, options: dict[str, Any]) -> StreamMark:
        """Read it from the response class, the generator's return annotation and the decorator's options."""
        media_type = options.get("media_type") or response.media_type
        return cls(media_type, _item(annotation), options.get("status", 200))


def document(app: Any) -> None:
    """Have `app.openapi()` describe its streams, if it is a FastAPI application."""
    openapi: Callable[[], dict[str, Any]] | None = getattr(app, "openapi", None)
    if openapi is None or hasattr(openapi, "__endwell__"):
        return

    def documented() -> dict[str, Any]:
        schema = openapi()
        for path, method, mark in _streams(app):
            operation = schema.get("paths", {}).get(path, {}).get(method)
            if operation is not None:
                _describe(schema, operation, mark)
        return schema

    documented.__endwell__ = True  # type: ignore[attr-defined]
    app.openapi = documented


def _streams(app: Any) -> Iterator[tuple[str, str, StreamMark]]:
    for route in _routes(app):
        mark: StreamMark | None = getattr(getattr(route, "endpoint", None), STREAM_MARK, None)
        if mark is not None:
            for method in route.methods or ():
                yield route.path_format, method.lower(), mark


def _routes(app: Any) -> Iterator[Any]:
    """The application's routes, those of included routers with their prefix."""
    try:
        from fastapi.routing import iter_route_contexts  # noqa: PLC0415 - an optional dependency
    except ImportError:  # before FastAPI included routers lazily, app.routes had them all
        yield from app.routes
        return
    yield from iter_route_contexts(app.routes)


def _describe(schema: dict[str, Any], operation: dict[str, Any], mark: StreamMark) -> None:
    response = operation.setdefault("responses", {}).setdefault(str(mark.status), {})
    response.setdefault("description", "A stream.")
    response["content"] = {mark.media_type: _content(schema, mark)}


def _content(schema: dict[str, Any], mark: StreamMark) -> dict[str, Any]:
    if mark.media_type == "text/event-stream":
        data: dict[str, Any] = {"type": "string"}
        item = _item_schema(schema, mark.item)
        if item is not None and item != {"type": "string"}:
            data |= {"contentMediaType": "application/json", "contentSchema": item}
        properties = {
            "data": data,
            "event": {"type": "string"},
            "id": {"type": "string"},
            "retry": {"type": "integer", "minimum": 0},
        }
        return {"itemSchema": {"type": "object", "properties": properties, "required": ["data"]}}
    if mark.media_type == "application/x-ndjson":
        return {"itemSchema": _item_schema(schema, mark.item) or {}}
    return {"schema": {"type": "string", "format": "binary"}}


def _item_schema(schema: dict[str, Any], item: Any) -> dict[str, Any] | None:
    if item is None:
        return None
    from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter  # noqa: PLC0415 - FastAPI has it

    try:
        made = TypeAdapter(item).json_schema(mode="serialization", ref_template=_REFERENCE)
    except (PydanticSchemaGenerationError, PydanticUserError):
        return None  # a type that pydantic cannot describe, such as Event, is documented as any
    components = schema.setdefault("components", {}).setdefault("schemas", {})
    for name, definition in made.pop("$defs", {}).items():
        components.setdefault(name, definition)
    title = made.get("title")
    if title and made.get("type") == "object":
        components.setdefault(title, made)
        return {"$ref": _REFERENCE.format(model=title)}
    return made


def _item(annotation: Any) -> Any:
    """The item type of an iterator's annotation; None where there is none."""
    if get_origin(annotation) not in _ITERATORS:
        return None
    arguments = get_args(annotation)
    return arguments[0] if arguments and arguments[0] is not Any else None
