"""A body that the application does not read, then a FIN behind it."""

from __future__ import annotations

from matrix.acts.base import Act
from matrix.scene import Scene

SIZE = 4 * 1024 * 1024


def perform(scene: Scene) -> int:
    client = scene.connect()
    client.request(scene.target("idle"), method="POST", body_size=SIZE)
    client.send_body(bytes(SIZE))
    client.read_first()
    return client.leave("fin")


ACT = Act(title="4 MiB of body unread, then FIN", order=70, perform=perform)
