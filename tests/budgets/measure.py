"""Counts what going a path costs."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

from tests.budgets import allocations
from tests.budgets.application import BEAT, STREAMS, application
from tests.budgets.counting import Cost, CountingLoop, Opcodes
from tests.budgets.paths import Path, open_idle
from tests.budgets.server import Server

IDLE = 100
"""Idle streams whose memory is counted."""


class Complaints(logging.Handler):
    """Collects what is logged as wrong: a path that fails is not to pass for a cheap one."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self._found.append(self.format(record))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Raise RuntimeError if something is logged as wrong while the block runs."""
        logging.getLogger().addHandler(self)
        try:
            yield
        finally:
            logging.getLogger().removeHandler(self)
        if self._found:
            raise RuntimeError("\n".join(self._found))


def path_cost(path: Path) -> Cost:
    """What going `path` costs, each time; `garbage` is what the garbage collector has to find, by type."""
    _run(_go(path, path.fewer))  # so that what is done once in a process is done
    fewer, more = _run(_go(path, path.fewer)), _run(_go(path, path.more))
    times = (path.more - path.fewer) / path.per
    return {what: _each(more[what], fewer[what], times) for what in more}


def idle_cost() -> Cost:
    """The memory of an idle stream: bytes and blocks that endwell allocated."""
    return _run(_idle())


def _each(more: Counter[str], fewer: Counter[str], times: float) -> Counter[str]:
    more.subtract(fewer)
    return Counter({place: count / times for place, count in more.items() if count})


def _run(counting: Coroutine[Any, Any, Cost]) -> Cost:
    random.seed(0)
    with Complaints().watched(), asyncio.Runner(loop_factory=CountingLoop) as runner:
        return runner.run(counting)


async def _go(path: Path, times: int) -> Cost:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, CountingLoop)
    async with _server(alone=path.alone, protocol=path.protocol) as server:
        go = await path.prepare(server, times)
        gc.collect()
        asked = {what: Counter(places) for what, places in loop.asked.items()}
        sent, opcodes = Counter(server.sent), Opcodes()
        with opcodes.counted():
            await go()
        cost = {what: places - asked[what] for what, places in loop.asked.items()}
        cost |= {"sends": server.sent - sent, "opcodes": opcodes.by_place(), "garbage": _garbage()}
    return cost


@asynccontextmanager
async def _server(*, alone: bool, protocol: str = "h11") -> AsyncIterator[Server]:
    """A warm server of the application, with or without its lifespan: threads have done their part."""
    async with AsyncExitStack() as stack:
        state = {} if alone else dict(await stack.enter_async_context(STREAMS.lifespan(None)))
        server = Server(application, state, protocol=protocol)
        stack.push_async_callback(server.close)
        server.connect().ask("/ready?1")
        await server.answered()
        await asyncio.sleep(BEAT)
        yield server


def _garbage() -> Counter[str]:
    """What nobody refers to but itself, by type."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    found = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.garbage)
    gc.garbage.clear()
    return found


async def _idle() -> Cost:
    async with _server(alone=False) as server:
        await open_idle(server, IDLE // 4)
        gc.collect()  # also CPython's lists of free objects: what comes from them would not be counted
        tracemalloc.start(allocations.DEPTH)
        await open_idle(server, IDLE)
        gc.collect()
        snapshot = tracemalloc.take_snapshot()
        tracemalloc.stop()
    return {what: _each(places, Counter(), IDLE) for what, places in allocations.by_place(snapshot).items()}
