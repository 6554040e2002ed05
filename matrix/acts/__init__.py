"""The acts, by name: an act is a module here with an `ACT`."""

from __future__ import annotations

import importlib
import pkgutil

from matrix.acts.base import Act


def load() -> dict[str, Act]:
    """Every act there is, in the order of the table."""
    modules = {each.name: importlib.import_module(f"{__name__}.{each.name}") for each in _modules()}
    found: dict[str, Act] = {name: module.ACT for name, module in modules.items() if hasattr(module, "ACT")}
    return dict(sorted(found.items(), key=lambda item: item[1].order))


def _modules() -> list[pkgutil.ModuleInfo]:
    return [*pkgutil.iter_modules(__path__)]
