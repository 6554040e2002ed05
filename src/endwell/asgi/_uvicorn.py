"""What only uvicorn's own objects can do."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from types import FunctionType
from typing import Any, Protocol

from endwell.types import Receive, Scope, Send, is_http_1_0

MIDDLEWARES = 16
"""Layers that are looked beneath, at most."""

CLASSES = 64
"""Of those who own a `receive`, at most so many are remembered."""

_HTTP = "uvicorn.protocols.http"
_RECEIVES = ("receive", "wrapped_receive")
_SENDS = frozenset(
    {
        ("starlette.middleware.errors", "ServerErrorMiddleware.__call__.<locals>._send"),
        ("starlette._exception_handler", "wrap_app_handling_exceptions.<locals>.wrapped_app.<locals>.sender"),
    }
)
"""Starlette's own, which look at a message and hand it on."""


class Flow(Protocol):
    """uvicorn's flow control of one connection."""

    write_paused: bool
    """The client is behind: `send` waits until it is not."""


def _cycle_of(receive: Receive | Send) -> Any:
    """The object that uvicorn has for the request of its `receive`, or `send`; None for any other server."""
    cycle: Any = getattr(receive, "__self__", None)
    return cycle if _is_uvicorns(cycle.__class__) else None


@functools.lru_cache(maxsize=CLASSES)  # it is asked several times with each request
def _is_uvicorns(cycle: type) -> bool:
    return cycle.__module__.startswith("uvicorn.")


def needs_no_task(receive: Receive) -> bool:
    """Whether it is uvicorn's own for HTTP, which awaits an event and nothing else: to be stepped by hand."""
    function = getattr(receive, "__func__", None)
    if not isinstance(function, FunctionType):
        return False
    return _is_plain(receive.__self__.__class__, function)  # type: ignore[attr-defined]


@functools.lru_cache(maxsize=CLASSES)
def _is_plain(cycle: type, function: FunctionType) -> bool:
    """Whether a method is the one of a cycle's own module: what somebody has put around it may do more."""
    module = cycle.__module__
    is_its_own = function.__module__ == module and not hasattr(function, "__wrapped__")
    return is_its_own and module.startswith(_HTTP) and inspect.iscoroutinefunction(function)


def is_own_send(send: Send) -> bool:
    """Whether it is uvicorn's own, or beneath nothing but what Starlette puts around every endpoint.

    Only of these is it known that they await uvicorn and nothing else: they may be stepped outside of a task.
    """
    for _ in range(MIDDLEWARES):
        if isinstance(function := getattr(send, "__func__", None), FunctionType):
            return _is_plain(_cycle_of(send).__class__, function)
        code: Any = getattr(send, "__code__", None)
        if (getattr(send, "__module__", None), getattr(code, "co_qualname", None)) not in _SENDS:
            return False
        cells = dict(zip(code.co_freevars, getattr(send, "__closure__", None) or (), strict=False))
        if "send" not in cells:  # a Starlette that calls it otherwise
            return False
        send = cells["send"].cell_contents
    return False


def flow_of(receive: Receive) -> Flow | None:
    """The flow control of the connection that uvicorn's own `receive` belongs to; None for any other server.

    Starlette and FastAPI hand `receive` through as it is; behind BaseHTTPMiddleware it is another one.
    """
    flow: Flow | None = getattr(_cycle_of(receive), "flow", None)
    return flow if hasattr(flow, "write_paused") else None


def has_ended(receive: Receive) -> bool:
    """Whether the server that uvicorn's own `receive` belongs to has taken the end of the body.

    From then on it reports a disconnect, also while a middleware still holds the last `send` up.
    """
    return getattr(_cycle_of(receive), "response_complete", False) is True


def transport_of(receive: Receive) -> asyncio.Transport | None:
    """The transport of the connection that uvicorn's own `receive` belongs to; None for any other server."""
    return _transport(_cycle_of(receive))


def _transport(cycle: Any) -> asyncio.Transport | None:
    transport: asyncio.Transport | None = getattr(cycle, "transport", None)
    # uvloop's is no subclass of asyncio's.
    return transport if hasattr(transport, "abort") and hasattr(transport, "get_extra_info") else None


def leaves_open(receive: Receive) -> bool | None:
    """Whether what uvicorn's own `receive` belongs to has bytes to send when its response is over.

    None where it takes a closer look: for any other server, and for a connection that may be lost.
    """
    cycle = _cycle_of(receive)
    transport = _transport(cycle)
    if transport is None or (transport.is_closing() and not getattr(cycle, "disconnected", False)):
        return None
    return has_unsent(transport)


def beneath(receive: Receive, scope: Scope) -> Receive | None:
    """Find uvicorn's own `receive` beneath those of middlewares; None where it is not to be seen.

    Each middleware that listens too holds the one below it: in a closure, as everybody writes it, or in an
    object, as Starlette's Request and `Pump` do. It is this request's if it has the very same headers.
    """
    for _ in range(MIDDLEWARES):
        if (cycle := _cycle_of(receive)) is not None:
            own: Any = getattr(cycle, "scope", None) or {}
            return receive if own.get("headers") is scope.get("headers") else None
        below = _below(receive)
        if below is None:
            break
        receive = below
    return None


def _below(receive: Receive) -> Receive | None:
    owner = getattr(receive, "__self__", None)
    if owner is not None:
        return getattr(owner, "_receive", None) or getattr(owner, "origin", None)
    names = getattr(getattr(receive, "__code__", None), "co_freevars", ())
    for name, cell in zip(names, getattr(receive, "__closure__", None) or (), strict=False):
        if name in _RECEIVES:
            below: Receive | None = cell.cell_contents
            return below
    return None


def abort(receive: Receive, transport: asyncio.Transport) -> None:
    """Drop the connection that uvicorn's own `receive` belongs to, with all that waits in it."""
    transport.abort()
    mark_disconnected(receive)


def has_unsent(transport: asyncio.Transport) -> bool:
    """Whether a transport holds bytes that the kernel has no room for."""
    try:
        return transport.get_write_buffer_size() > 0
    except (AttributeError, NotImplementedError):  # asyncio's of TLS, when it is over
        return False


def hang_up(receive: Receive, transport: asyncio.Transport) -> None:
    """End the connection that uvicorn's own `receive` belongs to, when what waits in it is sent."""
    transport.close()
    mark_disconnected(receive)


def mark_disconnected(receive: Receive) -> None:
    """Have uvicorn know that the connection is lost: an application that returns now has not broken off.

    Its protocol does the same a moment later, but only to the last request that it has read.
    """
    receive.__self__.disconnected = True  # type: ignore[attr-defined]


class CloseDelimited:
    """Keeps uvicorn's httptools protocol from chunking an HTTP/1.0 response's body (0.54 does).

    A client of HTTP/1.0 would take the chunks' sizes for content. No header can switch it off; but a cycle
    that believes in a content length leaves the bytes as they are, and closes the connection after the last.
    """

    __slots__ = ("_cycle",)

    def __init__(self, cycle: Any) -> None:
        self._cycle = cycle
        cycle.chunked_encoding = False
        cycle.expected_content_length = sys.maxsize

    @classmethod
    def where_needed(cls, scope: Scope, receive: Receive) -> CloseDelimited | None:
        """Apply it to a response that needs it; None for any other, and behind a middleware."""
        if not is_http_1_0(scope):
            return None
        cycle = getattr(receive, "__self__", None)
        undecided = getattr(cycle, "chunked_encoding", False) is None
        return cls(cycle) if undecided and hasattr(cycle, "expected_content_length") else None

    def last(self, data: bytes) -> None:
        """The body ends with `data`."""
        self._cycle.expected_content_length = len(data)
