"""The peers, by name: a peer is a module here with `application(scene, mount)`."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from benchmarks.peers._mounts import MOUNTS, Application, Mount

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["Application", "Mount", "load", "missing", "mounts", "names"]


def names() -> list[str]:
    """The peers there are."""
    return [
        each.name.replace("_", "-")
        for each in pkgutil.iter_modules(__path__)
        if not each.name.startswith("_")
    ]


def load(name: str) -> Application:
    """Import a peer and return its `application`; only then must its library be installed."""
    application: Application = _module(name).application
    return application


def mounts(name: str) -> tuple[Mount, ...]:
    """How a peer can be mounted: those that have one way only say so in `MOUNTS`."""
    found: tuple[Mount, ...] = getattr(_module(name), "MOUNTS", MOUNTS)
    return found


def missing(name: str) -> str | None:
    """Why a peer cannot be measured here; None if it can."""
    try:
        load(name)
    except ImportError as error:
        return str(error)
    return None


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
