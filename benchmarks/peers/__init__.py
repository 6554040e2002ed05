"""The peers, by name: a peer is a module here with `application(scene, mount)`."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.peers._mounts import Application


def names() -> list[str]:
    """The peers there are."""
    return [
        each.name.replace("_", "-")
        for each in pkgutil.iter_modules(__path__)
        if not each.name.startswith("_")
    ]


def load(name: str) -> Application:
    """Import a peer and return its `application`; only then must its library be installed."""
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    application: Application = module.application
    return application
