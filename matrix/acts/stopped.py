"""The client's process is stopped for five seconds, and then goes on."""

from __future__ import annotations

import time

from matrix.acts.base import Act
from matrix.clients.reader import Reader
from matrix.scene import Scene
from tests.servers.servers import HOST

STOPPED, GOES_ON = 5.0, 2.0


def perform(scene: Scene) -> int:
    served, server = scene.stage.served, scene.stage.server
    reader = scene.stack.enter_context(Reader(served.http, server.port, scene.target("patient")))
    scene.watch((HOST, server.port), reader.address)
    scene.wait("sending", lambda record: record.chunks > 10)
    reader.stop()
    now = time.monotonic()

    def go_on() -> None:
        if time.monotonic() > now + STOPPED:
            reader.go_on()

    scene.meanwhile, scene.complaint = go_on, reader.complaint
    return time.monotonic_ns()


ACT = Act(title="stopped for 5 s", order=130, perform=perform, bound=STOPPED + GOES_ON, kept=True, waits=True)
