"""FastAPI's OpenAPI for streaming endpoints: the media type, and the schema of one item.

It works on the finished schema, through the hook that FastAPI documents for that (`app.openapi`), so it
depends on nothing that FastAPI keeps to itself.
"""

from __future__ import annotations

import collections.abc
import re
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin

from endwell.wire import Event

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
_COMPONENTS = "#/components/schemas/"
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9._-]+")  # OpenAPI 3.1, section 4.8.7.1

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class StreamMark:
    """What a schema needs to know of a streaming endpoint.

    Attributes:
        media_type: Its content type.
        item: The type of its chunks; None if the annotation says nothing.
        status: The status its decorator gives it; None leaves that to the route.
    """

    media_type: str
    item: Any
    status: int | None

    @classmethod
    def of(cls, response: Any, annotation: Any, options: dict[str, Any]) -> StreamMark:
        """Read it from the response class, the generator's return annotation and the decorator's options."""
        return cls(options.get("media_type") or response.media_type, _item(annotation), options.get("status"))


def document(app: Any) -> None:
    """Have `app.openapi()` describe its streams, if it is a FastAPI application."""
    openapi: Callable[[], Schema] | None = getattr(app, "openapi", None)
    if openapi is None or hasattr(openapi, "__endwell__"):
        return

    def documented() -> Schema:
        schema = openapi()
        for route, mark in _streams(app):
            for method in route.methods or ():
                operation = schema.get("paths", {}).get(route.path_format, {}).get(method.lower())
                if operation is not None:
                    _describe(schema, operation, route, mark)
        return schema

    documented.__endwell__ = True  # type: ignore[attr-defined]
    app.openapi = documented


def _streams(app: Any) -> Iterator[tuple[Any, StreamMark]]:
    for route in _routes(app):
        mark: StreamMark | None = getattr(getattr(route, "endpoint", None), STREAM_MARK, None)
        if mark is not None:
            yield route, mark


def _routes(app: Any) -> Iterator[Any]:
    """The application's routes, those of included routers with their prefix."""
    try:
        from fastapi.routing import iter_route_contexts  # noqa: PLC0415 - an optional dependency
    except ImportError:  # before FastAPI included routers lazily, app.routes had them all
        yield from app.routes
        return
    yield from iter_route_contexts(app.routes)


def _describe(schema: Schema, operation: Schema, route: Any, mark: StreamMark) -> None:
    responses = operation.setdefault("responses", {})
    assumed = str(route.status_code or 200)
    status = str(mark.status or assumed)
    if status != assumed and assumed not in map(str, route.responses or {}):
        responses[status] = responses.pop(assumed, {})
    response = responses.setdefault(status, {})
    response.setdefault("description", "A stream.")
    response["content"] = {mark.media_type: _content(schema, mark)}


def _content(schema: Schema, mark: StreamMark) -> Schema:
    if mark.media_type == "text/event-stream":
        data: Schema = {"type": "string"}
        item = _item_schema(schema, mark.item)
        if item and item != {"type": "string"}:
            data |= {"contentMediaType": "application/json", "contentSchema": item}
        properties = {
            "data": data,
            "event": {"type": "string"},
            "id": {"type": "string"},
            "retry": {"type": "integer", "minimum": 0},
        }
        return {"itemSchema": {"type": "object", "properties": properties, "required": ["data"]}}
    if mark.media_type == "application/x-ndjson":
        return {"itemSchema": _item_schema(schema, mark.item)}
    return {"schema": {"type": "string", "format": "binary"}}


def _item_schema(schema: Schema, item: Any) -> Schema:
    """The item's schema, its definitions put among the components; empty where the type says nothing."""
    if item is None:
        return {}
    from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter  # noqa: PLC0415 - FastAPI's

    try:
        made = TypeAdapter(item).json_schema(mode="serialization", ref_template=_COMPONENTS + "{model}")
    except (PydanticSchemaGenerationError, PydanticUserError):
        return {}  # a type that pydantic cannot describe
    definitions = made.pop("$defs", {})
    if made.get("type") == "object" and "title" in made:
        definitions[made["title"]], made = made, {"$ref": _COMPONENTS + made["title"]}
    components = schema.setdefault("components", {}).setdefault("schemas", {})
    return _Components(components).add(definitions, made)


class _Components:
    """Puts definitions among the components, under other names where theirs are taken by something else."""

    def __init__(self, components: Schema) -> None:
        self._components = components

    def add(self, definitions: Schema, made: Schema) -> Schema:
        names: dict[str, str] = {}
        for _ in definitions:  # one that refers to another of a new name is another one itself
            names = {name: self._free_name(name, _renamed(part, names)) for name, part in definitions.items()}
        for name, definition in definitions.items():
            self._components.setdefault(names[name], _renamed(definition, names))
        renamed: Schema = _renamed(made, names)
        return renamed

    def _free_name(self, name: str, definition: Schema) -> str:
        clean = _NOT_IN_A_NAME.sub("_", name).strip("_")
        candidate, number = clean, 1
        while self._components.get(candidate, definition) != definition:
            number += 1
            candidate = f"{clean}-{number}"
        return candidate


def _renamed(part: Any, names: dict[str, str]) -> Any:
    if isinstance(part, list):
        return [_renamed(item, names) for item in part]
    if not isinstance(part, dict):
        return part
    return {
        key: _reference(value, names) if key == "$ref" else _renamed(value, names)
        for key, value in part.items()
    }


def _reference(target: Any, names: dict[str, str]) -> Any:
    name = target.removeprefix(_COMPONENTS) if isinstance(target, str) else None
    return _COMPONENTS + names[name] if name in names else target


def _item(annotation: Any) -> Any:
    """The item type of an iterator's annotation; None where there is none."""
    if get_origin(annotation) not in _ITERATORS:
        return None
    arguments = get_args(annotation)
    return _without_events(arguments[0]) if arguments else None


def _without_events(item: Any) -> Any:
    """What of an item's type describes the data: an Event's own data may be anything."""
    if item in (Any, Event):
        return None
    if get_origin(item) in (Union, types.UnionType):
        kept = tuple(part for part in get_args(item) if part is not Event)
        return Union[kept] if kept else None  # noqa: UP007 - made at run time
    return item
