"""The workloads, by number: a workload is a module here with a `WORKLOAD`."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.workloads.base import Workload


def load() -> dict[int, Workload]:
    """Every workload there is."""
    modules = [importlib.import_module(f"{__name__}.{each.name}") for each in pkgutil.iter_modules(__path__)]
    found: list[Workload] = [module.WORKLOAD for module in modules if hasattr(module, "WORKLOAD")]
    return {each.number: each for each in sorted(found, key=lambda each: each.number)}
