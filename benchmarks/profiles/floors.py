"""Whose a sample is, told from its stack."""

from __future__ import annotations

import re
from collections.abc import Sequence

KERNEL = "kernel"
COLLECTOR = "garbage collector"
REST = "the interpreter, and its library"

_ENDWELL = re.compile(r"py::(\S+):\S*/endwell/(?:(\w+)/)?(\w+)\.py")
_OWNERS = {
    KERNEL: ("[kernel",),
    "JSON": ("/msgspec/", "/json/", "/_json."),
    "event loop": ("/uvloop/", "/asyncio/", "/_asyncio."),
    "server": ("/uvicorn/", "/httptools/"),
    "framework": ("/starlette/", "/fastapi/", "/anyio/"),
    "raw": ("/benchmarks/peers/raw.py", "/benchmarks/peers/_idle.py"),
    "application": ("/benchmarks/",),
}
_INNER = ("ext", "asgi", "engine", "observe", "lifecycle", "wire", "settings")

FLOORS = (
    KERNEL,
    "event loop",
    "server",
    "framework",
    *(f"endwell: {each}" for each in _INNER),
    "raw",
    "JSON",
    "application",
    COLLECTOR,
    REST,
)
"""From the outside in."""


def floor_of(stack: Sequence[str]) -> str:
    """The floor of a stack of perf's, innermost frame first.

    It is that of the innermost frame that is anybody's: what the interpreter does, it does for that one.
    """
    if any("gc_collect_main" in frame for frame in stack):
        return COLLECTOR
    return next((floor for frame in stack if (floor := _owner(frame)) is not None), REST)


def function_of(stack: Sequence[str]) -> str | None:
    """The innermost function of endwell's, as `room:function`, if the sample is endwell's."""
    if not floor_of(stack).startswith("endwell"):
        return None
    found = next(found for frame in stack if (found := _ENDWELL.search(frame)) is not None)
    return f"{found.group(3)}:{found.group(1)}"


def is_preempted(stack: Sequence[str]) -> bool:
    """Whether the kernel is about to run somebody else: the machine's affair, not the workload's."""
    return any("exit_to_user_mode" in frame for frame in stack) and any(
        "schedule" in frame for frame in stack
    )


def _owner(frame: str) -> str | None:
    found = _ENDWELL.search(frame)
    if found is not None:
        return f"endwell: {found.group(2) or found.group(3)}"
    owner = next((name for name, signs in _OWNERS.items() if any(sign in frame for sign in signs)), None)
    return REST if owner is None and "py::" in frame else owner
