"""Decorators that need no `Streams`."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from endwell.asgi import CLIENT_CLOSED_REQUEST, Handler, Pump
from endwell.ext._endpoints import Call, endpoint_for, resolve, share
from endwell.ext._responses import route_of

P = ParamSpec("P")
T = TypeVar("T")


def cancel_on_disconnect(handler: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Cancel a plain async endpoint when its client leaves.

    The handler gets one CancelledError at its current `await`; its `finally` blocks are awaited, a line with
    499 is logged, and nothing is sent. If the handler raises, that exception wins over the disconnect.

    ```python
    @app.post("/embed")
    @cancel_on_disconnect
    async def embed(body: Texts) -> Vectors: ...
    ```

    Raises:
        TypeError: `handler` is no `async def` function; raised when the module is imported.
    """
    if not inspect.iscoroutinefunction(handler):
        name = getattr(handler, "__qualname__", repr(handler))
        raise TypeError(f"cancel_on_disconnect needs an 'async def' endpoint without yield, {name} is none")

    async def answer(call: Call) -> Any:
        work = handler(*call.args, **call.kwargs)
        if call.request is None:
            return await work
        pump = Pump(call.request.receive, keep_all=call.has_request)
        share(call.request, pump)
        result = await Handler(work, what=_name(call.request)).run(pump)
        return Response(status_code=CLIENT_CLOSED_REQUEST) if result is None else result[0]

    returns = resolve(handler, inspect.signature(handler).return_annotation)
    return endpoint_for(handler, answer, returns=returns)


def _name(request: Request) -> str:
    return f"{request.method} {route_of(request.scope) or quote(request.scope['path'])}"
