"""Cancelling a plain handler whose client has left."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Generic, TypeVar
from urllib.parse import quote

from endwell.asgi._pump import Pump
from endwell.engine import contained, wait_out
from endwell.errors import ConfigurationError
from endwell.observe import logger
from endwell.types import ASGIApp, Message, Receive, Scope, Send

T = TypeVar("T")

CLIENT_CLOSED_REQUEST = 499
"""What nginx logs for a client that left before the response; no client ever sees it."""


class Handler(Generic[T]):
    """Runs a handler's work in a task of its own, and cancels it, once, when the client leaves.

    Args:
        work: The handler's coroutine.
        what: What to call it in the log, such as `POST /embed`.
    """

    def __init__(self, work: Awaitable[T], *, what: str) -> None:
        self._work = work
        self._what = what
        self._began = time.monotonic()
        self._answered = False
        self._cancelled = False
        self._task = asyncio.create_task(contained(work, "the handler"), name=f"endwell {what}")

    def answered(self) -> None:
        """The response is complete: what the handler still does, it does for itself."""
        self._answered = True

    async def run(self, pump: Pump) -> tuple[T] | None:
        """Wait for the work to be over, its cleanup included.

        Args:
            pump: The one reader of the request's `receive`.

        Returns:
            What the work returned, in a tuple; None if it was cancelled because the client left.

        Raises:
            Exception: What the work raised, also when the client left at the same moment.
            CancelledError: The task was cancelled from outside; the work was too, and is over.
        """
        pump.start()
        pump.listen(self)
        try:
            await self._finish()
        finally:
            await pump.end()  # a response that listens for itself must find receive() free
            if inspect.iscoroutine(self._work):
                self._work.close()  # for one that was cancelled before it started
        return self._result(pump)

    def client_gone(self) -> None:
        """See `endwell.asgi._pump.Listener`."""
        if not self._answered:
            self._cancel()

    def _cancel(self) -> None:
        if not self._cancelled:
            self._cancelled = True
            self._task.cancel()

    async def _finish(self) -> None:
        """Wait for the work; a cancellation from outside is passed on to it, and then waited out."""
        try:
            await asyncio.wait([self._task])
        except asyncio.CancelledError:
            self._cancel()
            await wait_out(self._task)
            if not self._task.cancelled() and (error := self._task.exception()) is not None:
                logger.error("%s raised while it was cancelled", self._what, exc_info=error)
            raise

    def _result(self, pump: Pump) -> tuple[T] | None:
        if not self._task.cancelled():
            return (self._task.result(),)
        if not pump.gone or not self._cancelled:
            raise asyncio.CancelledError  # the handler cancelled itself
        logger.info(
            "%d %s: the client left after %.3f s",
            CLIENT_CLOSED_REQUEST,
            self._what,
            time.monotonic() - self._began,
        )
        return None


class CancelOnDisconnect:
    """ASGI middleware: on chosen paths, a request whose client leaves is cancelled.

    What the application does after its response is complete, such as background tasks, is left alone.

    Args:
        app: The application.
        paths: The exact paths to watch, as the server gives them in the scope.
        match: Instead of `paths`, a function of the scope that says whether to watch the request.

    Raises:
        TypeError: Neither or both of `paths` and `match` are given, or one is not what it should be.
        ConfigurationError: A path does not begin with a slash, and so would never match.
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
        if match is not None and not callable(match):
            raise TypeError(f"match must be a function of the scope, got {match!r}")
        chosen = _check_paths(paths)
        self._app = app
        self._match = match if match is not None else lambda scope: scope["path"] in chosen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or not self._match(scope):
            await self._app(scope, receive, send)
            return
        pump = Pump(receive, keep_all=True)
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                handler.answered()
            await send(message)

        # Quoted: the server has decoded the path, and a line break in it would forge lines in the log.
        what = f"{scope['method']} {quote(scope['path'])}"
        handler = Handler(self._app(scope, pump.receive, watched), what=what)
        if await handler.run(pump) is None and not started:
            # Nobody sees it; but a middleware outside takes an application that says nothing for broken.
            await send({"type": "http.response.start", "status": CLIENT_CLOSED_REQUEST, "headers": []})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def _check_paths(paths: Collection[str] | None) -> frozenset[str]:
    if isinstance(paths, str):
        raise TypeError(f"paths must be a collection of paths, got the string {paths!r}")
    for path in paths or ():
        if not isinstance(path, str) or not path.startswith("/"):
            raise ConfigurationError(f"paths must begin with a slash, got {path!r}")
    return frozenset(paths or ())
