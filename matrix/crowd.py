"""Two hundred idle streams whose clients close one after the other: the latency among many."""

from __future__ import annotations

import time
from contextlib import ExitStack

from matrix.scene import Scene, Stage

CLIENTS = 200
GAP = 0.005
"""Seconds between two closes, so that none waits for another's."""
WITHIN = 5.0


def measure(stage: Stage, clients: int = CLIENTS) -> list[float]:
    """Seconds from each client's FIN until its source's `finally` was over.

    Raises:
        Unmeasured: one was not over within `WITHIN` seconds.
    """
    with ExitStack() as stack:
        scenes = [Scene(stage) for _ in range(clients)]
        for scene in scenes:
            stack.enter_context(scene.stack)
            scene.get("idle")
        closed = [_close(scene) for scene in scenes]
        return [_latency(scene, at) for scene, at in zip(scenes, closed, strict=True)]


def _close(scene: Scene) -> int:
    time.sleep(GAP)
    return scene.client.leave("fin")


def _latency(scene: Scene, at: int) -> float:
    scene.wait("over", lambda record: record.done is not None, WITHIN)
    done = scene.record.done
    assert done is not None
    return (done - at) / 1e9
