"""The client ends one stream of HTTP/2 and keeps the connection."""

from __future__ import annotations

from matrix.acts.base import Act
from matrix.clients import Http2
from matrix.scene import Scene
from tests.servers.client import Closed


def perform(scene: Scene) -> int:
    client = scene.get("idle")
    assert isinstance(client, Http2)
    scene.complaint = lambda: _ask_again(client, f"/idle?key={scene.key}-second")
    return client.reset_stream()


def _ask_again(client: Http2, target: str) -> str | None:
    try:
        client.request(target)
        client.read_first()
    except (Closed, OSError) as error:
        return f"connection gone: {error}"
    return None


ACT = Act(
    title="HTTP/2 RST_STREAM",
    order=80,
    perform=perform,
    keeps_socket=True,
    http=frozenset({2}),
    why_not="HTTP/2 only",
)
