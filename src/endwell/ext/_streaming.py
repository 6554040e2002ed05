"""Generator functions as endpoints: what a `Streams`' decorators do."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypedDict

from starlette.requests import Request
from starlette.responses import Response

from endwell.engine import Gate, Registry
from endwell.errors import ConfigurationError
from endwell.ext._admission import Admission
from endwell.ext._checks import check_status
from endwell.ext._endpoints import Call, endpoint_for, resolve
from endwell.ext._openapi import STREAM_MARK, StreamMark
from endwell.ext._responses import (
    ByteStream,
    EventStream,
    NDJSONStream,
    StreamResponse,
    effective_route,
)
from endwell.observe import Callback
from endwell.settings import Limits, Policy, check_known
from endwell.wire import Dialect


class EndpointOptions(TypedDict, total=False):
    """The options of a streaming endpoint's decorator."""

    status: int
    headers: Mapping[str, str] | None
    policy: Policy | None
    on_end: Callback | None
    dialect: str | Dialect | None
    owner: Any
    limits: Limits | None


_OWN: Mapping[type[StreamResponse], frozenset[str]] = {
    EventStream: frozenset({"resume_token"}),
    NDJSONStream: frozenset({"heartbeat"}),
    ByteStream: frozenset({"media_type"}),
}


def streaming_endpoint(
    function: Callable[..., Any],
    response: type[StreamResponse],
    options: dict[str, Any],
    registry: Registry,
    gates: tuple[Gate, ...],
) -> Any:
    """Make a generator function an endpoint that answers with a stream.

    Args:
        function: The user's.
        response: The kind of stream.
        options: The response's options; an `owner` that can be called is asked with each request.
        registry: Where its streams belong.
        gates: What they have to pass.

    Raises:
        TypeError: It is no generator function.
    """
    _check_generator(function)
    make: Callable[..., StreamResponse] = response
    find_owner: Any = options.get("owner")
    asks_owner = callable(find_owner)
    fixed = {name: value for name, value in options.items() if name != "owner" or not callable(value)}

    async def answer(call: Call) -> StreamResponse:
        given = fixed
        if "status" not in fixed and (status := _status_of(call.request)) is not None:
            given = {**fixed, "status": status}
        if asks_owner:
            given = {**given, "owner": await _owner_of(call.request)}
        stream = make(function(*call.args, **call.kwargs), **given)
        if call.response is not None:
            _take_over(call.response, stream)
        stream.attach(registry, call.request, gates)
        return stream

    async def _owner_of(request: Request | None) -> Any:
        if request is None:
            name = function.__qualname__
            raise ConfigurationError(f"owner asks the request: give {name} the one that it answers")
        found = find_owner(request)
        return await found if inspect.isawaitable(found) else found

    prototype = make((), **fixed)
    prototype.attach(registry, None, gates)
    admission = Admission(registry, gates, prototype) if gates else None
    endpoint = endpoint_for(function, answer, returns=response, first=admission)
    annotation = resolve(function, inspect.signature(function).return_annotation)
    setattr(endpoint, STREAM_MARK, StreamMark.of(response, annotation, options))
    return endpoint


def check_options(response: type[StreamResponse], options: Mapping[str, Any]) -> None:
    """Fail at import for what would fail at the first request: by making a response with these options."""
    known = _OWN[response] | EndpointOptions.__annotations__.keys()
    for name in options:
        check_known(name, known, "a streaming endpoint")
    limits = options.get("limits")
    if limits is not None and not isinstance(limits, Limits):
        raise ConfigurationError(f"limits must be Limits, or None; got {limits!r}")
    make: Callable[..., StreamResponse] = response
    make((), **{name: value for name, value in options.items() if name != "limits"})


def _status_of(request: Request | None) -> int | None:
    """What the route's own decorator says: FastAPI's `status_code`."""
    return None if request is None else getattr(effective_route(request.scope), "status_code", None)


def _take_over(told: Response, stream: StreamResponse) -> None:
    """Give the stream the headers, cookies and status that dependencies set, as FastAPI does with its own."""
    if told.raw_headers:
        stream.raw_headers.extend(told.raw_headers)
    if told.status_code:
        stream.status_code = check_status(told.status_code)


def _check_generator(function: Any) -> None:
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        return
    name = getattr(function, "__qualname__", repr(function))
    raise TypeError(f"a streaming endpoint must be a generator function (with yield), {name} is none")
