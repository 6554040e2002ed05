"""The client closes the connection in good order while chunks arrive."""

from __future__ import annotations

from matrix.acts.base import Act
from matrix.scene import Scene


def perform(scene: Scene) -> int:
    return scene.get("sending").leave("fin")


ACT = Act(title="FIN, sending", order=15, perform=perform)
