"""The client closes the connection in good order while nothing is sent."""

from __future__ import annotations

from matrix.acts.base import Act
from matrix.scene import Scene


def perform(scene: Scene) -> int:
    return scene.get("idle").leave("fin")


ACT = Act(title="FIN, idle", order=10, perform=perform)
