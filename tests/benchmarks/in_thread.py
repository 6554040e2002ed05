"""uvicorn in a thread of the tests' process, for runs so small that a process of its own would cost more."""

from __future__ import annotations

import os
import threading
import time
from types import TracebackType
from typing import Self

import uvicorn

from benchmarks import peers, workloads
from benchmarks.harness.process import Served, Setting


class InThread(Served):
    """Shows the scene of its workload, as it is at that moment; a context manager."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting, 0, os.getpid())
        app = peers.load(setting.peer)(workloads.load()[setting.workload].scene, setting.mount)
        config = uvicorn.Config(app, port=0, loop="asyncio", ws="none", log_level="error")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
            time.sleep(0.01)
        (listening,) = self._server.servers[0].sockets
        self.port = listening.getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join()
