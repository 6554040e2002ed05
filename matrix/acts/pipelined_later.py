"""The same, with a stream that has lived for a second: young ones are not watched closely yet."""

from __future__ import annotations

import time

from matrix.acts import pipelined
from matrix.acts.base import Act
from matrix.scene import Scene

AGE = 1.0


def perform(scene: Scene) -> int:
    client = scene.get("idle")
    client.request(f"/idle?key={scene.key}-second")
    time.sleep(AGE)
    return client.leave("fin")


ACT = Act(
    title=f"the same after {AGE:.0f} s",
    order=65,
    perform=perform,
    http=pipelined.ACT.http,
    why_not=pipelined.ACT.why_not,
)
