"""The streams of one application: who is alive, who is told of endings, whether the process is going away."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from endwell.engine._latch import Latch
from endwell.engine._pool import ThreadPool
from endwell.engine._stream import Stream
from endwell.engine._unattended import Unattended
from endwell.lifecycle import Cause, State
from endwell.observe import Callback, Notifier, is_logged, log_ending
from endwell.settings import Policy
from endwell.wire import Dialect

VANISHED = 30.0
"""Seconds: a phone between two cells is not given up, and a cut network does not cost much work."""
UNATTENDED = 100
"""Sources that may go on without a client: what nobody waits for is not to crowd out what somebody does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A live stream at one moment.

    Attributes:
        id: The stream's id.
        route: The route's template.
        state: Where it is in its life.
        age: Seconds since it was admitted.
        chunks: Chunks the server has taken.
        bytes: Bytes the server has taken.
    """

    id: str
    route: str
    state: State
    age: float
    chunks: int
    bytes: int


class Registry:
    """Keeps the live streams of one application, and tells its callbacks of each ending.

    Args:
        policy: Its `cleanup` is what a callback may take; its `drain` what a drain may.
        dialect: How clients are told of an end that is none, unless a response says otherwise.
        vanished: Seconds in which the kernel is to find a client that vanished without a word; None leaves
            its own settings.
        unattended: How many sources may go on without their clients at once.
        threads: How many sync sources may run at once; None for a stream on its own, which shares the event
            loop's.

    Attributes:
        pool: Where the threads of sync sources come from.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        dialect: Dialect | None = None,
        vanished: float | None = VANISHED,
        unattended: int = UNATTENDED,
        threads: int | None = None,
    ) -> None:
        self.policy = policy
        self.dialect = dialect
        self.vanished = vanished
        self.pool = None if threads is None else ThreadPool(threads)
        self._unattended = Unattended(unattended)
        self.callbacks: list[Callback] = []
        self.draining = False
        self._live: dict[str, Stream] = {}
        self._notifier = Notifier(policy.cleanup)
        self._settling: list[Latch] = []

    def open(self) -> None:
        """A new life of the application begins: streams are welcome again."""
        self.draining = False

    def active(self) -> list[Snapshot]:
        """Snapshots of all live streams, oldest first."""
        return [_snapshot(stream) for stream in list(self._live.values())]

    def get(self, stream_id: str) -> Stream | None:
        """The live stream with this id."""
        return self._live.get(stream_id)

    def add(self, stream: Stream) -> None:
        """A stream is admitted; while the process drains, it ends at once."""
        self._live[stream.id] = stream
        stream.join(self._unattended, self.pool)
        if self.draining:
            stream.end(Cause.DRAIN)

    def over(self, stream: Stream) -> None:
        """A stream is over: log it and tell everybody, once."""
        del self._live[stream.id]
        if not self._live:
            settling, self._settling = self._settling, []
            for empty in settling:
                empty.set()
        callbacks = [*stream.callbacks, *self.callbacks]
        if not callbacks and not is_logged(stream.error, stream.work.errors):
            return  # nobody would see it
        ending = stream.ending()
        self._notifier.tell(callbacks, ending)
        log_ending(ending)

    def drain(self) -> None:
        """End every stream in good order, and every one still to come."""
        self.draining = True
        for stream in list(self._live.values()):
            stream.end(Cause.DRAIN)

    async def settle(self, within: float | None = None) -> None:
        """Wait until no stream is alive and no callback is running, or for `within` seconds."""
        try:
            async with asyncio.timeout(within):
                await self._emptied()
                await self._notifier.settle()
        except TimeoutError:
            pass

    async def _emptied(self) -> None:
        while self._live:
            empty = Latch()
            self._settling.append(empty)
            await empty.wait()


def _snapshot(stream: Stream) -> Snapshot:
    return Snapshot(
        id=stream.id,
        route=stream.route,
        state=stream.machine.state,
        age=stream.clock() - stream.machine.started_at,
        chunks=stream.writer.chunks,
        bytes=stream.writer.bytes,
    )
