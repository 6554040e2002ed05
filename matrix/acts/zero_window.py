"""The client never reads."""

from __future__ import annotations

import time

from matrix.acts.base import Act
from matrix.limits import LIMITS
from matrix.scene import Scene


def perform(scene: Scene) -> int:
    scene.get_unread("blocks")
    return time.monotonic_ns()


ACT = Act(
    title=f"never reads (send deadline {LIMITS.send:.0f} s)",
    order=100,
    perform=perform,
    outcome="slow_client",
    bound=LIMITS.send + 8,
    waits=True,
)
