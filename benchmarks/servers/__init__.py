"""The ASGI servers, by name: a module here with `serve(app, port)`, on uvloop, its access log off."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp

Serve: TypeAlias = "Callable[[ASGIApp, int], None]"
"""Serves an application on 127.0.0.1 until killed."""


def names() -> list[str]:
    """The servers there are."""
    return [each.name for each in pkgutil.iter_modules(__path__)]


def load(name: str) -> Serve:
    """Import a server and return its `serve`; only then must it be installed."""
    serve: Serve = importlib.import_module(f"{__name__}.{name}").serve
    return serve
