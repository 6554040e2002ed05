"""A client that has not read what waits for it sends a FIN, and stays: few servers read while they write."""

from __future__ import annotations

from matrix.acts.base import Act
from matrix.limits import LIMITS
from matrix.scene import Scene


def perform(scene: Scene) -> int:
    client = scene.get_unread("patient")
    scene.wait_blocked()
    return client.leave("half-close")


ACT = Act(
    title="half-close while `send` is blocked",
    order=50,
    perform=perform,
    bound=LIMITS.patient + 3,  # the send deadline ends it, if nothing does
)
