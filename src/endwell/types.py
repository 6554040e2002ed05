"""The ASGI vocabulary, typed once for every floor above."""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias, TypeGuard

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


def is_http_1_0(scope: Scope) -> bool:
    """Whether the request is of HTTP/1.0, which granian calls 1."""
    return scope.get("http_version") in ("1.0", "1")


def is_header_name(name: Any) -> TypeGuard[str]:
    """Whether a header can have this name."""
    return isinstance(name, str) and _TOKEN.fullmatch(name) is not None


Source: TypeAlias = AsyncIterable[Any] | Iterable[Any]
"""What produces chunks: an async generator or iterable, or a sync one (run in a thread)."""
