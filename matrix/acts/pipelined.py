"""A second request waits behind the stream, then the client closes."""

from __future__ import annotations

from matrix.acts.base import Act
from matrix.scene import Scene


def perform(scene: Scene) -> int:
    client = scene.get("idle")
    client.request(f"/idle?key={scene.key}-second")
    return client.leave("fin")


ACT = Act(
    title="pipelined request, then FIN",
    order=60,
    perform=perform,
    http=frozenset({1}),
    why_not="requests have streams of their own",
)
