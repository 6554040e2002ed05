"""Programs that run servers themselves: two in threads, two on one loop, one after the other, one cut short.

python -m tests.servers.several_programs threads 8001 8002
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any

import uvicorn
import uvloop
from starlette.applications import Starlette

from tests.servers.servers import HOST
from tests.servers.several_app import application, say

SIGNALS = (signal.SIGTERM, signal.SIGINT)
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Embedded(uvicorn.Server):
    """A server that leaves the process's signals alone."""

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
        """Nothing of the kind."""
        return contextlib.nullcontext()


def settings(app: Starlette, port: int, loop: Any = "asyncio", lifespan: Any = "auto") -> uvicorn.Config:
    """How a server is to be."""
    return uvicorn.Config(
        app, host=HOST, port=port, loop=loop, lifespan=lifespan, log_level="warning", access_log=False
    )


class Pair:
    """Two servers. SIGTERM stops both; a POST to either stops the first.

    Args:
        names: of their applications; one name is one application that both of them serve.
        ports: where they listen.
    """

    def __init__(self, names: Sequence[str], *ports: int) -> None:
        commands = {"stop first": self.stop_first}
        applications = {name: application(name, commands=commands) for name in names}
        self.servers = [
            Embedded(settings(applications[name], port)) for name, port in zip(names, ports, strict=True)
        ]
        signal.signal(signal.SIGTERM, self.stop_both)

    def stop_first(self) -> None:
        """As a program does that embeds a server."""
        self.servers[0].should_exit = True

    def stop_both(self, number: int, frame: FrameType | None) -> None:
        """The program's own handler."""
        for each in self.servers:
            each.should_exit = True

    def in_threads(self) -> None:
        """Run each in a thread, and none in the main one."""
        running = [threading.Thread(target=each.run) for each in self.servers]
        for thread in running:
            thread.start()
        while any(thread.is_alive() for thread in running):
            time.sleep(0.05)  # a signal that comes just before `join` would have to wait for it
        self._say_over()

    def on_one_loop(self) -> None:
        """Run both on one event loop."""

        async def serve() -> None:
            await asyncio.gather(*(each.serve() for each in self.servers))

        asyncio.run(serve())
        self._say_over()

    def _say_over(self) -> None:
        """Say whether the program's own handler is the one that is there."""
        say("over", signal.getsignal(signal.SIGTERM) == self.stop_both)


def threads(*ports: int) -> None:
    """Two servers, each with an application, in a thread each."""
    Pair(("first", "second"), *ports).in_threads()


def one_loop(*ports: int) -> None:
    """The same on one event loop."""
    Pair(("first", "second"), *ports).on_one_loop()


def shared(*ports: int) -> None:
    """Two servers of the same application, on one event loop."""
    Pair(("first", "first"), *ports).on_one_loop()


def in_turn(port: int, lifespan: str) -> None:
    """One server after the other: an application, the same again, another one; each on a loop of its own."""
    signal.signal(signal.SIGTERM, lambda *_: say("passed on"))  # uvicorn raises it again when it is over
    before = [signal.getsignal(number) for number in SIGNALS]
    first = application("first")
    for app, loop in ((first, "asyncio"), (first, "uvloop"), (application("second"), "asyncio")):
        uvicorn.Server(settings(app, port, loop, lifespan)).run()
        say("over", [signal.getsignal(number) for number in SIGNALS] == before)


def in_turn_in_threads(port: int) -> None:
    """The same, each in a thread of its own; SIGTERM stops the one that runs."""
    running: list[uvicorn.Server] = []

    def stop(number: int, frame: FrameType | None) -> None:
        running[-1].should_exit = True
        say("passed on")

    signal.signal(signal.SIGTERM, stop)
    first = application("first")
    for app, loop in ((first, "asyncio"), (first, "uvloop"), (application("second"), "asyncio")):
        running.append(uvicorn.Server(settings(app, port, loop)))
        thread = threading.Thread(target=running[-1].run)
        thread.start()
        while thread.is_alive():
            time.sleep(0.05)
        say("over", signal.getsignal(signal.SIGTERM) is stop)


def cut_short(port: int, loop: str) -> None:
    """The main coroutine returns while a server runs: asyncio cancels all there is, and closes the loop."""
    ask = asyncio.Event()
    cut = uvicorn.Server(settings(application("app", commands={"return": ask.set}), port, loop))

    async def main() -> None:
        serving = asyncio.create_task(cut.serve())
        await ask.wait()
        assert not serving.done()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())
    gc.collect()  # what was forgotten complains now
    say("over")


if __name__ == "__main__":
    program, *arguments = sys.argv[1:]
    globals()[program](*(int(each) if each.isdigit() else each for each in arguments))
