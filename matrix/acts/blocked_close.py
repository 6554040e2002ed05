"""A client that has not read what waits for it closes: that is a reset."""

from __future__ import annotations

from matrix.acts.base import Act
from matrix.scene import Scene


def perform(scene: Scene) -> int:
    client = scene.get_unread("patient")
    scene.wait_blocked()
    return client.leave("fin")


ACT = Act(title="leaves while `send` is blocked", order=40, perform=perform)
