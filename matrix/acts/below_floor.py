"""The client takes 40 kbit/s, which progresses, where more is asked for."""

from __future__ import annotations

import time

from matrix.acts.base import Act
from matrix.clients import Pace
from matrix.limits import LIMITS
from matrix.scene import Scene

BYTES, SECONDS = LIMITS.floor


def perform(scene: Scene) -> int:
    scene.meanwhile = Pace(scene.get_unread("floored"), size=500, every=0.1)
    return time.monotonic_ns()


ACT = Act(
    title=f"reads 40 kbit/s (floor {BYTES // 1024} KiB in {SECONDS:.0f} s)",
    order=112,
    perform=perform,
    outcome="slow_client",
    bound=SECONDS + 8,
    waits=True,
)
