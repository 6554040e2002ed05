"""The client reads one byte a second: below the rate floor."""

from __future__ import annotations

import time

from matrix.acts.base import Act
from matrix.clients import Pace
from matrix.limits import LIMITS
from matrix.scene import Scene


def perform(scene: Scene) -> int:
    scene.meanwhile = Pace(scene.get_unread("blocks"), size=1, every=1.0)
    return time.monotonic_ns()


ACT = Act(
    title=f"reads 1 byte/s (floor {LIMITS.min_rate[0]} bytes in {LIMITS.min_rate[1]:.0f} s)",
    order=110,
    perform=perform,
    outcome="slow_client",
    bound=LIMITS.min_rate[1] + 8,
    waits=True,
)
