"""Cancelling a plain handler whose client has left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any, TypeVar

import anyio

from endwell.asgi._pump import Pump
from endwell.observe import logger
from endwell.types import ASGIApp, Receive, Scope, Send

T = TypeVar("T")

CLIENT_CLOSED_REQUEST = 499
"""What nginx logs for a client that left before the response; no client ever sees it."""


async def run_until_gone(pump: Pump, work: Coroutine[Any, Any, T], *, what: str) -> T | None:
    """Run `work` in a task of its own, and cancel it when the client leaves; its cleanup is awaited.

    Args:
        pump: The one reader of the request's `receive`.
        work: The handler's coroutine.
        what: What to call it in the log, such as `POST /embed`.

    Returns:
        What `work` returned, or None if it was cancelled because the client left.

    Raises:
        Exception: What `work` raised, also when the client left at the same moment.
    """
    began = time.monotonic()
    task = asyncio.create_task(work, name=f"endwell {what}")
    watch = asyncio.create_task(pump.run(), name=f"endwell pump {what}")
    pump.listen(lambda: _cancel(task))
    try:
        await _finish(task)
    finally:
        watch.cancel()
    if task.cancelled():
        if not pump.gone:
            raise asyncio.CancelledError  # the handler cancelled itself
        logger.info(
            "%d %s: the client left after %.3f s", CLIENT_CLOSED_REQUEST, what, time.monotonic() - began
        )
        return None
    return task.result()


def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()


async def _finish(task: asyncio.Task[Any]) -> None:
    """Wait for `task` to be over.

    A cancellation from outside is passed on to it, once, and then waited out.
    """
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        with anyio.CancelScope(shield=True):
            while not task.done():
                try:
                    await asyncio.wait([task])
                except asyncio.CancelledError:
                    continue
        raise


class CancelOnDisconnect:
    """ASGI middleware: on chosen paths, a request whose client leaves is cancelled.

    Args:
        app: The application.
        paths: The exact paths to watch, as the server gives them in the scope.
        match: Instead of `paths`, a function of the scope that says whether to watch the request.

    Raises:
        TypeError: Neither or both of `paths` and `match` are given.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        paths: Collection[str] | None = None,
        match: Callable[[Scope], bool] | None = None,
    ) -> None:
        if (paths is None) == (match is None):
            raise TypeError("CancelOnDisconnect takes either paths or match")
        if isinstance(paths, str):
            raise TypeError(f"paths must be a collection of paths, got the string {paths!r}")
        self._app = app
        chosen = frozenset(paths or ())
        self._match = match if match is not None else lambda scope: scope["path"] in chosen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or not self._match(scope):
            await self._app(scope, receive, send)
            return
        pump = Pump(receive)
        call = _as_coroutine(self._app(scope, pump.receive, send))
        await run_until_gone(pump, call, what=f"{scope['method']} {scope['path']}")


async def _as_coroutine(call: Awaitable[None]) -> None:
    await call
