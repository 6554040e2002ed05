"""Decorators that need no `Streams`."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from endwell.asgi import CLIENT_CLOSED_REQUEST, Pump, run_until_gone
from endwell.ext._endpoints import endpoint_for, resolve, share
from endwell.ext._responses import route_of

P = ParamSpec("P")
T = TypeVar("T")


def cancel_on_disconnect(handler: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Cancel a plain async endpoint when its client leaves.

    The handler gets one CancelledError at its current `await`; its `finally` blocks are awaited, a line
    with 499
    is logged, and nothing is sent. If the handler raises, that exception wins over the disconnect.

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

    async def call(request: Request | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        work = handler(*args, **kwargs)
        if request is None:
            return await work
        pump = Pump(request.receive)
        share(request, pump)
        what = f"{request.method} {route_of(request.scope) or request.url.path}"
        result = await run_until_gone(pump, _whole(work), what=what)
        return Response(status_code=CLIENT_CLOSED_REQUEST) if result is None else result[0]

    returns = resolve(handler, inspect.signature(handler).return_annotation)
    return endpoint_for(handler, call, returns=returns)


async def _whole(work: Awaitable[T]) -> tuple[T]:
    """Tell a handler that returned None from one that was cancelled."""
    return (await work,)
