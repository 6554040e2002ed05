"""Sources on strings: they give a chunk, end or raise when told to, and note what becomes of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from types import TracebackType
from typing import Any

import anyio

from endwell import NoCurrentStream, current_stream

BIG = 40_000
"""Bytes: two such chunks are more than the writer takes before it lets its source wait."""


class Fault(LookupError):
    """What a source raises."""


class Stage:
    """Where sources play, and what is written down of them.

    Args:
        waits: For what a cleanup waits: "slow" and "raising", those that are among the acts.

    Attributes:
        entered: What has to be cleaned up.
        begun, cleaned: Cleanups that have begun, and that were brought to their end.
        excused: A cleanup was cut short that the source had begun on its own account. That is so: see
            docs/explanation/limits.md.
        ended: The source was told to end, or has.
        cancellations: How often what the source waited for was cancelled.
        cancelled_at: When it was, and what lets resources go as well.
        early: A resource was let go before every cleanup was over.
        given: Chunks given.
        uneasy: A resource was let go in a task that counts as cancelled: a task group there would not work.
        owned, released: The names of resources, in the order in which they were taken and let go.
    """

    def __init__(self, waits: frozenset[str]) -> None:
        self._loop = asyncio.get_running_loop()
        self._commands: deque[str] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._waits = set(waits)
        self._raises = "raising" in waits
        self.freed = False
        self.entered = self.begun = self.cleaned = self.cancellations = self.given = 0
        self.excused = self.ended = False
        self.cancelled_at: list[float] = []
        self.early = self.uneasy = False
        self.owned: list[str] = []
        self.released: list[str] = []

    # -- what the schedule does --------------------------------------------------------------------------

    def command(self, what: str) -> None:
        """The source shall give a chunk, end or raise as soon as it asks."""
        self._commands.append(what)
        self._wake()

    def let_clean(self, what: str) -> None:
        """The cleanup need not wait for this any more."""
        self._waits.discard(what)
        self._wake()

    def free(self) -> None:
        """Those that would wait for ever need not."""
        self.freed = True
        self._waits.clear()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- what sources do ---------------------------------------------------------------------------------

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait; a cancellation is counted, and is what the end began with."""
        while not condition():
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            except asyncio.CancelledError:
                self._cancelled()
                raise

    async def turn(self) -> None:
        """Wait for a turn of the loop."""
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self._cancelled()
            raise

    def _cancelled(self) -> None:
        self.cancellations += 1
        self.cancelled_at.append(self._loop.time())

    async def next(self) -> str:
        """The next command."""
        await self.until(lambda: bool(self._commands))
        what = self._commands.popleft()
        self.ended = self.ended or what == "end"
        return what

    def chunk(self, size: int = 0) -> str:
        """The next chunk: its number, then as many letters."""
        self.given += 1
        return f"<{self.given - 1}>" + "x" * size

    async def clean_up(self, *, own_account: bool, briefly: bool = False) -> None:
        """What stands in a `finally`."""
        self.begun += 1
        try:
            await self.turn()
            if not briefly:
                await self.until(lambda: not self._waits)
        except asyncio.CancelledError:
            self.excused = self.excused or own_account
            raise
        self.cleaned += 1
        if self._raises and not briefly:
            raise Fault("in the cleanup")

    def resource(self, name: str, *, turns: int = 0) -> Callable[[], Any]:
        """Something to own; letting it go takes some turns of the loop."""
        self.owned.append(name)

        async def release() -> None:
            release_at_once()
            for _ in range(turns):
                try:
                    await asyncio.sleep(0)
                except asyncio.CancelledError:
                    self.cancelled_at.append(self._loop.time())
                    raise

        def release_at_once() -> None:
            task = asyncio.current_task()
            self.early = self.early or self.entered > self.cleaned
            self.uneasy = self.uneasy or (task is not None and task.cancelling() > 0)
            self.released.append(name)

        return release if turns else release_at_once

    def own(self, name: str) -> None:
        """Have the stream own a resource, unless it is over."""
        release = self.resource(name, turns=1)
        try:
            current_stream().owns(release)
        except NoCurrentStream:
            self.owned.remove(name)


class Cleaning:
    """`async with` it: in the end it cleans up, and knows whether it was told to or does so by itself."""

    def __init__(self, stage: Stage, *, briefly: bool = False) -> None:
        self._stage = stage
        self._briefly = briefly

    async def __aenter__(self) -> None:
        self._stage.entered += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        told = isinstance(error, (GeneratorExit, asyncio.CancelledError))
        await self._stage.clean_up(own_account=not told, briefly=self._briefly)


async def puppet(stage: Stage) -> AsyncGenerator[str, None]:
    """Does as it is told, and cleans up."""
    async with Cleaning(stage):
        while (what := await stage.next()) != "end":
            if what == "raise":
                raise Fault
            yield stage.chunk()


async def deaf(stage: Stage) -> AsyncGenerator[str, None]:
    """Takes a cancellation for the wish for one more chunk, and goes on."""
    async with Cleaning(stage):
        while True:
            try:
                what = await stage.next()
            except asyncio.CancelledError:
                what = "chunk"
            if what == "end":
                return
            if what == "raise":
                raise Fault
            yield stage.chunk()


async def nested(stage: Stage) -> AsyncGenerator[str, None]:
    """A generator around another, with a cleanup each."""
    async with Cleaning(stage, briefly=True), aclosing(puppet(stage)) as inner:
        async for chunk in inner:
            yield chunk


async def spawner(stage: Stage) -> AsyncGenerator[str, None]:
    """Has a task beside it, which cleans up, too; and owns something of its own."""
    _ = current_stream().spawn(_beside(stage))
    stage.own("its own")
    async with aclosing(puppet(stage)) as inner:
        async for chunk in inner:
            yield chunk


async def _beside(stage: Stage) -> None:
    stage.entered += 1
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        stage.begun += 1
        await asyncio.sleep(0)
        stage.cleaned += 1


async def scoped(stage: Stage) -> AsyncGenerator[str, None]:
    """Waits in a cancel scope of its own, which it ends each time; the other task there takes a turn."""
    async with Cleaning(stage):
        while True:
            async with anyio.create_task_group() as group:
                group.start_soon(_until_cancelled)
                what = await stage.next()
                group.cancel_scope.cancel()
            if what == "end":
                return
            if what == "raise":
                raise Fault
            yield stage.chunk()


async def _until_cancelled() -> None:
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        with anyio.CancelScope(shield=True):
            await asyncio.sleep(0)


async def stubborn(stage: Stage) -> AsyncGenerator[str, None]:
    """Its cleanup ends for nobody, however often it is cancelled."""
    stage.entered += 1
    try:
        while (what := await stage.next()) != "end":
            if what == "raise":
                raise Fault
            yield stage.chunk()
    finally:
        stage.begun += 1
        while not stage.freed:
            try:
                await stage.until(lambda: stage.freed)
            except asyncio.CancelledError:
                pass
        stage.cleaned += 1


async def talkative(stage: Stage) -> AsyncGenerator[str, None]:
    """Yields in its cleanup."""
    async with Cleaning(stage):
        try:
            while (what := await stage.next()) != "end":
                if what == "raise":
                    raise Fault
                yield stage.chunk()
        finally:
            yield "<too late>"


async def stopper(stage: Stage) -> AsyncGenerator[str, None]:
    """Stops its own stream when told to end, and goes on as if nothing were."""
    async with Cleaning(stage):
        while (what := await stage.next()) != "raise":
            if what == "end":
                current_stream().stop("by itself")
            yield stage.chunk()
        raise Fault


async def ready(stage: Stage) -> AsyncGenerator[str, None]:
    """Never waits: six chunks, more than the writer takes at once, and a cleanup without an `await`."""
    stage.entered += 1
    try:
        for _ in range(6):
            yield stage.chunk(BIG)
        stage.ended = True
    finally:
        stage.begun += 1
        stage.cleaned += 1


def listed(stage: Stage) -> list[str]:
    """A list of five small chunks."""
    stage.ended = True
    return [stage.chunk() for _ in range(5)]


SOURCES: dict[str, Callable[[Stage], Any]] = {
    "puppet": puppet,
    "deaf": deaf,
    "nested": nested,
    "spawner": spawner,
    "scoped": scoped,
    "stubborn": stubborn,
    "talkative": talkative,
    "stopper": stopper,
    "ready": ready,
    "listed": listed,
}

ON_STRINGS = frozenset(SOURCES) - {"ready", "listed"}
"""Those that wait for commands."""
