"""The client takes 40 kbit/s out of a small buffer: it progresses.

The kernel opens the window again when there is room worth speaking of, so the server sees a slow reader's
progress in steps. At 4 kbit/s they would be further apart than the deadline, even with the smallest buffer.
"""

from __future__ import annotations

import time

from matrix.acts.base import Act
from matrix.clients import Pace
from matrix.limits import LIMITS
from matrix.scene import Scene


def perform(scene: Scene) -> int:
    scene.meanwhile = Pace(scene.get_unread("blocks"), size=500, every=0.1)
    return time.monotonic_ns()


ACT = Act(
    title=f"reads 40 kbit/s, for {3 * LIMITS.send + 2:.0f} s",
    order=120,
    perform=perform,
    bound=3 * LIMITS.send + 2,
    kept=True,
    waits=True,
)
