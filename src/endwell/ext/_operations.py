"""Endpoints for those who run an application: the stop button's, and the readiness probe's."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from endwell.engine import Registry, StopResult
from endwell.errors import ConfigurationError
from endwell.observe import logger
from endwell.settings import check_duration
from endwell.types import ASGIApp

WhoAsks: TypeAlias = Callable[[Request], Any]
"""Says who asks; may be async, and may raise an HTTPException."""

_PATH = "/{stream_id:path}/stop"  # a malformed id, with slashes in it, is an unknown one
_REASON = "asked by the client"
_NOT_STORED = {"cache-control": "no-store"}
_RETRY_AFTER = "1"
"""Seconds: another process may answer at once."""


def stop_app(registry: Registry, owner: WhoAsks | None = None, wait: float | None = None) -> ASGIApp:
    """Return an application that ends streams: `POST /{id}/stop`, below where it is mounted.

    The body of the request is not read.

    Args:
        registry: The application's streams.
        owner: Says who asks; compared with the stream's own `owner` by ==.
        wait: Seconds for which the answer may wait for the stream's cleanup; None answers at once.

    Raises:
        ConfigurationError: `owner` cannot be called, or `wait` is no number of seconds above 0.
    """
    if owner is not None and not callable(owner):
        raise ConfigurationError(f"owner must be a function of the Request, got {owner!r}")
    check_duration("wait", wait, optional=True)

    async def stop(request: Request) -> Response:
        # Before anything is looked up, so that a stranger's answer takes the same steps for every id.
        asker = await _who(owner, request)
        stream_id = request.path_params["stream_id"]
        known = registry.find(stream_id)
        if known is None or not (known.owner is None or (owner is not None and _is_same(known.owner, asker))):
            return _answer(StopResult.UNKNOWN)
        stopping = registry.stop(stream_id, _REASON, wait=wait)
        return _answer(stopping.result if wait is None else await stopping)

    return Router([Route(_PATH, stop, methods=["POST"])], redirect_slashes=False)


def _is_same(owner: Any, asker: Any) -> bool:
    """Compare them; whatever their `==` does is no answer to a stranger."""
    try:
        return bool(owner == asker)
    except Exception:  # noqa: BLE001 - it may be anybody's
        logger.warning("a stream's owner cannot be compared with who asks", exc_info=True)
        return False


async def _who(owner: WhoAsks | None, request: Request) -> Any:
    asker = None if owner is None else owner(request)
    return await asker if inspect.isawaitable(asker) else asker


def _answer(result: StopResult) -> Response:
    status = 404 if result is StopResult.UNKNOWN else 200
    return JSONResponse({"result": result}, status, _NOT_STORED)


def readiness(registry: Registry, request: Request) -> Response:
    """Answer a probe: 200, or 503 from the moment on in which the process begins to go away."""
    if not registry.draining:
        return JSONResponse({"status": "ready"}, headers=_NOT_STORED)
    headers = {**_NOT_STORED, "retry-after": _RETRY_AFTER}
    if request.scope.get("http_version", "1.1").startswith("1"):  # HTTP/2 has no such header
        headers["connection"] = "close"
    return JSONResponse({"status": "draining"}, 503, headers)
