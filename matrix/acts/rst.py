"""The client resets the connection."""

from __future__ import annotations

from matrix.acts.base import Act
from matrix.scene import Scene


def perform(scene: Scene) -> int:
    return scene.get("idle").leave("rst")


ACT = Act(title="RST, idle", order=20, perform=perform)
