"""The application whose sources block: their threads, which nobody else must notice, or the event loop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import AsyncIterator, Iterator

from fastapi import FastAPI

from endwell import Ending, Policy, Streams

logging.getLogger("endwell").setLevel(logging.INFO)
logging.getLogger("endwell").addHandler(logging.StreamHandler())
logging.getLogger("endwell").propagate = False  # daphne has a handler of its own: each line once

CLEANUP = 0.2
"""Seconds until a blocked thread is let go."""

WATCHDOG = 0.2
"""Seconds until a blocked event loop is reported."""

streams = Streams(policy=Policy(cleanup=CLEANUP), watchdog=WATCHDOG)
app = FastAPI(lifespan=streams.lifespan)
endings: list[Ending] = []
streams.on_end(endings.append)
never = threading.Event()


def wait_for_ever() -> None:
    """Block the thread in the interpreter's own lock."""
    never.wait()


def sleep_for_ever() -> None:
    """Block the thread in C."""
    time.sleep(100_000)


@app.get("/blocked/{how}")
@streams.ndjson
def blocked(how: str) -> Iterator[str]:
    """Say hello, then block the thread for ever."""
    yield "hello"
    (wait_for_ever if how == "event" else sleep_for_ever)()


@app.get("/frozen")
@streams.bytes
async def frozen() -> AsyncIterator[bytes]:
    """Block the event loop for as long as it takes to be noticed."""
    yield b"hello"
    freeze()
    yield b"goodbye"


def freeze() -> None:
    """The line to blame."""
    time.sleep(4 * WATCHDOG)


@app.get("/numbers")
@streams.bytes
def numbers() -> Iterator[bytes]:
    """A sync source that works."""
    yield from (b"%d\n" % number for number in range(10))


@app.get("/plain")
def plain() -> str:
    """What a worker thread of the framework's answers."""
    return threading.current_thread().name


@app.get("/ended")
async def ended() -> list[tuple[str, bool]]:
    """The outcome of each ending, and whether its cleanup was given up."""
    return [(ending.outcome.value, ending.overdue) for ending in endings]
