"""Wrapping an endpoint so that FastAPI and Starlette both still understand it.

FastAPI reads the signature; Starlette calls with the request. The wrapper has no `__wrapped__`: FastAPI looks
through that, takes a generator for one of its own native streams, and bypasses the wrapper.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, get_args, get_origin

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from endwell.asgi import Pump


@dataclass(slots=True)
class Call:
    """One call of an endpoint.

    Attributes:
        request: The request; None if the endpoint was called without one, as in a test.
        has_request: The user's function has the request too, and may read its body.
        response: What dependencies set headers and cookies on; None outside FastAPI.
        args: The arguments for the user's function.
        kwargs: Its keyword arguments.
    """

    request: Request | None
    has_request: bool
    response: Response | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Dependency(Protocol):
    """A dependency that is none of the function's own."""

    def before(self, signature: inspect.Signature, *, reads: bool) -> inspect.Signature:
        """The signature with it as its first parameter; `reads` says that the function has the request."""

    def take(self, kwargs: dict[str, Any]) -> None:
        """Leave what it gave out of a call."""


def endpoint_for(
    function: Callable[..., Any],
    answer: Callable[[Call], Awaitable[Any]],
    *,
    returns: Any,
    first: Dependency | None = None,
) -> Callable[..., Awaitable[Any]]:
    """Return an async endpoint that hands its calls to `answer`.

    Args:
        function: The user's endpoint, whose parameters FastAPI is to see.
        answer: Does the work.
        returns: The return annotation FastAPI is to see.
        first: What FastAPI is to resolve before the function's own dependencies.
    """
    signature = _signature(function, returns)
    signature, request = _with_parameter(signature, Request, HTTPConnection)
    signature, response = _with_parameter(signature, Response)
    if first is not None:
        signature = first.before(signature, reads=not request.added)

    async def endpoint(*args: Any, **kwargs: Any) -> Any:
        given_request = given_response = None
        has_request = not request.added
        if kwargs:  # as FastAPI calls it
            if first is not None:
                first.take(kwargs)
            given_request = request.take(kwargs)
            given_response = response.take(kwargs)
        if given_request is None:
            given_request = _request_among(args)
            has_request = given_request is not None
        return await answer(Call(given_request, has_request, given_response, args, kwargs))

    functools.update_wrapper(endpoint, function)
    del endpoint.__wrapped__  # type: ignore[attr-defined]
    endpoint.__signature__ = signature  # type: ignore[attr-defined]
    return endpoint


def _request_among(args: tuple[Any, ...]) -> Request | None:
    """Starlette gives it by position."""
    for arg in args:
        if isinstance(arg, Request):
            return arg
    return None


def resolve(function: Callable[..., Any], annotation: Any) -> Any:
    """Evaluate a string annotation where `function` was defined; as it is, if that cannot be done."""
    if not isinstance(annotation, str):
        return annotation
    unwrapped = inspect.unwrap(function)
    while isinstance(unwrapped, functools.partial):
        unwrapped = unwrapped.func
    module = sys.modules.get(unwrapped.__module__)
    names = {**vars(module)} if module is not None else {}
    names.update(inspect.getclosurevars(unwrapped).nonlocals)
    try:
        return eval(annotation, names)  # noqa: S307 - the endpoint's own annotation
    except Exception:  # noqa: BLE001 - such as a name that exists for type checkers only
        return annotation


def share(request: Request, pump: Pump) -> None:
    """Let the endpoint's own `request.is_disconnected()` and `request.stream()` ask the pump.

    Two readers of one `receive()` lose messages. Starlette has no public way to give a request another one.
    """
    if request._is_disconnected:  # noqa: SLF001
        pump.leave()  # it was asked before, and some servers say it once only
    request._receive = pump.receive  # noqa: SLF001


@dataclass(slots=True)
class _Parameter:
    """A parameter that the framework fills in: the user's own, or one that was added for us."""

    name: str
    added: bool

    def take(self, kwargs: dict[str, Any]) -> Any:
        return kwargs.pop(self.name, None) if self.added else kwargs.get(self.name)


def _signature(function: Callable[..., Any], returns: Any) -> inspect.Signature:
    signature = inspect.signature(function)
    parameters = [
        parameter.replace(annotation=resolve(function, parameter.annotation))
        for parameter in signature.parameters.values()
    ]
    return signature.replace(parameters=parameters, return_annotation=returns)


def _with_parameter(signature: inspect.Signature, *kinds: type) -> tuple[inspect.Signature, _Parameter]:
    """Find the parameter of one of `kinds`, or add one of the first, for FastAPI to fill in."""
    for name, parameter in signature.parameters.items():
        annotation = parameter.annotation
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        if isinstance(annotation, type) and issubclass(annotation, kinds):
            return signature, _Parameter(name, added=False)
    name = f"endwell_{kinds[0].__name__.lower()}"
    added = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kinds[0])
    parameters = list(signature.parameters.values())
    at = len(parameters) - (bool(parameters) and parameters[-1].kind is inspect.Parameter.VAR_KEYWORD)
    return signature.replace(parameters=[*parameters[:at], added, *parameters[at:]]), _Parameter(
        name, added=True
    )
