"""The client says that it will send nothing more, and stays."""

from __future__ import annotations

from matrix.acts.base import Act
from matrix.scene import Scene


def perform(scene: Scene) -> int:
    return scene.get("idle").leave("half-close")


ACT = Act(title="half-close, idle", order=30, perform=perform)
