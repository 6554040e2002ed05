"""Wrapping an endpoint so that FastAPI and Starlette both still understand it.

FastAPI reads the signature; Starlette calls with the request. The wrapper has no `__wrapped__`: FastAPI
looks through that, takes a generator for one of its own native streams, and bypasses the wrapper.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import HTTPConnection, Request

from endwell.asgi import Pump

_ADDED = "endwell_request"

Call = Callable[[Request | None, tuple[Any, ...], dict[str, Any]], Awaitable[Any]]


def endpoint_for(function: Callable[..., Any], call: Call, *, returns: Any) -> Callable[..., Awaitable[Any]]:
    """Return an async endpoint that hands its request and arguments to `call`.

    Args:
        function: The user's endpoint, whose parameters FastAPI is to see.
        call: Called with the request (None if called without one), and `function`'s arguments.
        returns: The return annotation FastAPI is to see.
    """
    signature = _signature(function, returns)
    name = _request_name(signature)
    added = name is None
    if name is None:
        name = _ADDED
        signature = _with_request(signature)

    async def endpoint(*args: Any, **kwargs: Any) -> Any:
        given = kwargs.pop(name, None) if added else kwargs.get(name)
        request = (
            given if given is not None else next((arg for arg in args if isinstance(arg, Request)), None)
        )
        return await call(request, args, kwargs)

    functools.update_wrapper(endpoint, function)
    del endpoint.__wrapped__  # type: ignore[attr-defined]
    endpoint.__signature__ = signature  # type: ignore[attr-defined]
    return endpoint


def resolve(function: Callable[..., Any], annotation: Any) -> Any:
    """Evaluate a string annotation where `function` was defined; as it is, if that cannot be done."""
    if not isinstance(annotation, str):
        return annotation
    unwrapped = inspect.unwrap(function)
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
    request._receive = pump.receive  # noqa: SLF001


def _signature(function: Callable[..., Any], returns: Any) -> inspect.Signature:
    signature = inspect.signature(function)
    parameters = [
        parameter.replace(annotation=resolve(function, parameter.annotation))
        for parameter in signature.parameters.values()
    ]
    return signature.replace(parameters=parameters, return_annotation=returns)


def _request_name(signature: inspect.Signature) -> str | None:
    for name, parameter in signature.parameters.items():
        annotation = parameter.annotation
        if isinstance(annotation, type) and issubclass(annotation, (Request, HTTPConnection)):
            return name
    return None


def _with_request(signature: inspect.Signature) -> inspect.Signature:
    parameters = list(signature.parameters.values())
    added = inspect.Parameter(_ADDED, inspect.Parameter.KEYWORD_ONLY, annotation=Request)
    at = len(parameters)
    if parameters and parameters[-1].kind is inspect.Parameter.VAR_KEYWORD:
        at -= 1
    return signature.replace(parameters=[*parameters[:at], added, *parameters[at:]])
