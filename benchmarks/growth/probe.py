"""What the server's process sees of itself: how late its loop is, how long the garbage collector holds it."""

from __future__ import annotations

import asyncio
import gc
import statistics
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

DESCRIPTORS = Path("/proc/self/fd")
PACE = 0.01  # seconds between looks at how late the loop is
SHORT = 0.001  # seconds; a shorter pause of the collector is counted, not kept


class Probe:
    """Watches one process, in phases: each `take` begins a new one."""

    def __init__(self) -> None:
        self._late: list[float] = []
        self._pauses: list[float] = []
        self._runs = [0, 0, 0]
        self._since = 0.0
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in a running loop."""
        gc.callbacks.append(self._collecting)
        self._watching = asyncio.create_task(self._watch())

    def stop(self) -> None:
        """Leave no trace."""
        gc.callbacks.remove(self._collecting)
        if self._watching is not None:
            self._watching.cancel()

    def take(self) -> Mapping[str, float]:
        """What was seen since the last time, in ms: how late the loop was, and the collector's pauses."""
        late = sorted(self._late) or [0.0]
        pauses = self._pauses or [0.0]
        found = {
            "late_p99": statistics.quantiles([*late, late[-1]], n=100, method="inclusive")[98] * 1e3,
            "late_most": late[-1] * 1e3,
            "pause_most": max(pauses) * 1e3,
            "pause_sum": sum(pauses) * 1e3,
            "full_collections": self._runs[2],
        }
        self._late, self._pauses, self._runs = [], [], [0, 0, 0]
        return found

    async def _watch(self) -> None:
        while True:
            due = time.monotonic() + PACE
            await asyncio.sleep(PACE)
            self._late.append(max(0.0, time.monotonic() - due))

    def _collecting(self, phase: str, about: Mapping[str, int]) -> None:
        if phase == "start":
            self._since = time.monotonic()
            return
        took = time.monotonic() - self._since
        self._runs[about["generation"]] += 1
        if took >= SHORT:
            self._pauses.append(took)


def census(*, collect: bool) -> Mapping[str, Any]:
    """What there is in this process that streams could leave behind.

    Args:
        collect: run the collector before, and say what it found; count all that it keeps in view.
    """
    unreachable = gc.collect() if collect else 0
    return {
        "tasks": len(asyncio.all_tasks()),
        "threads": threading.active_count(),
        "descriptors": sum(1 for _ in DESCRIPTORS.iterdir()),
        "unreachable": unreachable,
        "objects": len(gc.get_objects()) if collect else 0,
    }
