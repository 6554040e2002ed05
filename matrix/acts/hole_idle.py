"""The network drops everything while nothing is sent."""

from __future__ import annotations

from matrix.acts.base import Act
from matrix.limits import LIMITS
from matrix.scene import Scene


def perform(scene: Scene) -> int:
    scene.get("idle", far=True)
    return scene.cut()


ACT = Act(
    title=f"black hole, idle (vanished after {LIMITS.vanished:.0f} s)",
    order=150,
    perform=perform,
    bound=LIMITS.vanished + 8,
    waits=True,
    needs_far=True,
)
