"""The line takes 4 kbit/s; the client reads whatever comes."""

from __future__ import annotations

import time

from matrix.acts.base import Act
from matrix.clients import Pace
from matrix.limits import LIMITS
from matrix.scene import Scene

EVERYTHING = 65536


def perform(scene: Scene) -> int:
    scene.meanwhile = Pace(scene.get_unread("blocks", slow=True), size=EVERYTHING, every=0.05)
    return time.monotonic_ns()


ACT = Act(
    title=f"a line of 4 kbit/s, for {3 * LIMITS.send + 2:.0f} s",
    order=115,
    perform=perform,
    bound=3 * LIMITS.send + 2,
    kept=True,
    waits=True,
    needs_far=True,
)
