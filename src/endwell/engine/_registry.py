"""The streams of one application: who is alive, who may come in, whether the process is going away."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from endwell.engine._gate import Gate
from endwell.engine._latch import Latch
from endwell.engine._pool import ThreadPool
from endwell.engine._stopping import Stopping, StopResult, check_reason
from endwell.engine._stream import Stream
from endwell.engine._unattended import Unattended
from endwell.lifecycle import LAST, DrainPlan, State
from endwell.observe import Callback, Ending, Notifier, forsake, is_logged, log_ending
from endwell.settings import Limits, Policy
from endwell.types import Scope
from endwell.wire import Dialect

VANISHED = 30.0
"""Seconds: a phone between two cells is not given up, and a cut network does not cost much work."""
UNATTENDED = 100
"""Sources that may go on without a client: what nobody waits for is not to crowd out what somebody does."""
REMEMBERED = 4096
"""Ended streams whose ids are still known: minutes of them, for a stop button that is pressed too late."""

_AFTER = 0.05
"""Seconds in which streams that were given up report it."""
_TURNS = 8
"""Turns of the loop for the same, where it is late: that time has passed before any of them could."""
_FEW = 64
"""Connections of streams that are over among which nobody looks for closed ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A live stream at one moment.

    Attributes:
        id: The stream's id.
        route: The route's template.
        key: What a limit counts it by, such as the client's address; None where nothing counts.
        owner: Who may stop it, if that was said.
        state: Where it is in its life.
        age: Seconds since it was admitted.
        chunks: Chunks the server has taken.
        bytes: Bytes the server has taken.
        idle: Seconds since anything was written.
        blocked: Seconds for which the client has kept a write waiting; 0 if none waits.
        buffered: Bytes that wait for the client, on top of what the server holds.
    """

    id: str
    route: str
    key: object
    owner: object
    state: State
    age: float
    chunks: int
    bytes: int
    idle: float
    blocked: float
    buffered: int


class Known(NamedTuple):
    """What is known by a stream's id.

    Attributes:
        owner: Who may stop it, if that was said.
        live: It has not ended.
    """

    owner: object
    live: bool


class Parting(Protocol):
    """The connection of a stream that is over."""

    def is_closed(self) -> bool:
        """The server has closed it."""

    def cut_off_at(self, when: float) -> None:
        """Reset it at `when`, in the loop's time, if it is still open then."""


class Watch(Protocol):
    """Learns, while streams are alive, that the process goes away."""

    def serving(self, scope: Scope) -> None:
        """A stream begins."""

    def idle(self) -> None:
        """None is alive any more."""


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
        limits: How many streams there may be; None for no limit.
        id_header: The header of a response that has its stream's id; None for none.

    Attributes:
        pool: Where the threads of sync sources come from.
        watch: Who learns that the process goes away, besides those who call `drain`.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        dialect: Dialect | None = None,
        vanished: float | None = VANISHED,
        unattended: int = UNATTENDED,
        threads: int | None = None,
        limits: Limits | None = None,
        id_header: bytes | None = None,
    ) -> None:
        self.policy = policy
        self.dialect = dialect
        self.vanished = vanished
        self.id_header = id_header
        self.pool = None if threads is None else ThreadPool(threads)
        self._unattended = Unattended(unattended)
        self.callbacks: list[Callback] = []
        self.watch: Watch | None = None
        self._going = Latch()
        self._over_by: float | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gates: list[Gate] = []
        self.gate = None if limits is None else self.add_gate(limits)
        self._live: dict[str, Stream] = {}
        self._answering = 0
        self._ended: OrderedDict[str, object] = OrderedDict()
        self._notifier = Notifier(policy.cleanup)
        self._settling: list[Latch] = []
        self._waits: set[asyncio.Timeout] = set()
        self._parting: list[Parting] = []
        self._crowded = _FEW

    def open(self) -> None:
        """A new life of the application begins: streams are welcome again."""
        self._going = Latch()
        self._over_by = self._loop = None
        self._parting.clear()
        for gate in self._gates:
            gate.open()

    def add_gate(self, limits: Limits) -> Gate:
        """A gate for some of the streams, which is shut with all the others."""
        gate = Gate(limits)
        self._gates.append(gate)
        return gate

    # -- who is alive ------------------------------------------------------------------------------------

    def active(self) -> list[Snapshot]:
        """Snapshots of all live streams, oldest first."""
        return [_snapshot(stream) for stream in list(self._live.values())]

    def get(self, stream_id: str) -> Snapshot | None:
        """A snapshot of the live stream with this id."""
        stream = self._live.get(stream_id)
        return None if stream is None else _snapshot(stream)

    def find(self, stream_id: str) -> Known | None:
        """What is known by this id, also of a stream that ended not long ago."""
        stream = self._live.get(stream_id)
        if stream is not None:
            return Known(stream.owner, live=True)
        return Known(self._ended[stream_id], live=False) if stream_id in self._ended else None

    def add(self, stream: Stream) -> None:
        """A stream is admitted; while the process drains, it ends at once."""
        self._live[stream.id] = stream
        stream.join(self._unattended, self.pool, self._going)
        if self._over_by is not None:
            stream.leave_by(stream.clock(), self._over_by)

    def over(self, stream: Stream) -> None:
        """A stream is over: log it and tell everybody, once."""
        self.forget(stream)
        self._remember(stream)
        callbacks = [*stream.callbacks, *self.callbacks]
        if callbacks or is_logged(stream.error, stream.work.errors):  # else nobody would see it
            self.tell(stream.ending(), callbacks)

    def forget(self, stream: Stream) -> None:
        """A stream is alive no more."""
        del self._live[stream.id]
        if not self._live and self.watch is not None:
            self.watch.idle()
        self._settle_if_empty()

    def see_off(self, client: Parting) -> None:
        """A stream is over, but its server may have bytes that the client does not take: it shall not stay.

        Most servers end only when all of their connections have.
        """
        self._parting.append(client)
        if self._over_by is not None:
            client.cut_off_at(self._over_by - LAST)
        elif len(self._parting) > self._crowded:
            self._parting = [each for each in self._parting if not each.is_closed()]
            self._crowded = 2 * len(self._parting) + _FEW

    @contextmanager
    def answering(self) -> Iterator[None]:
        """A request is answered without a stream of its own: nothing is over before that is."""
        self._answering += 1
        try:
            yield
        finally:
            self._answering -= 1
            self._settle_if_empty()

    def tell(self, ending: Ending, callbacks: Iterable[Callback]) -> None:
        """Tell callbacks, and the log, of an ending."""
        self._notifier.tell(callbacks, ending)
        log_ending(ending)

    def _remember(self, stream: Stream) -> None:
        self._ended[stream.id] = stream.owner
        if len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)

    def _settle_if_empty(self) -> None:
        if self._live or self._answering:
            return
        settling, self._settling = self._settling, []
        for empty in settling:
            empty.set()

    # -- who is to end -----------------------------------------------------------------------------------

    def stop(self, stream_id: str, reason: str | None = None, *, wait: float | None = None) -> Stopping:
        """End one stream as `stopped`; from any thread.

        Args:
            stream_id: The stream.
            reason: For its ending.
            wait: Seconds that whoever awaits the answer waits at most; None as long as the cleanup may take.

        Raises:
            TypeError: `reason` is no text.
        """
        check_reason(reason)
        stream = self._live.get(stream_id)
        if stream is None:
            ended = stream_id in self._ended
            return Stopping(StopResult.ALREADY_ENDED if ended else StopResult.UNKNOWN)
        stopped = stream.stop_from_anywhere(reason)
        result = StopResult.STOPPED if stopped else StopResult.ALREADY_ENDED
        return Stopping(result, stream, wait)

    def stop_all(self, where: Callable[[Snapshot], bool] | None = None, reason: str | None = None) -> int:
        """End all live streams, or those of which `where` says so; return how many.

        From any thread.
        """
        chosen = [stream for stream in list(self._live.values()) if where is None or where(_snapshot(stream))]
        return sum(stream.stop_from_anywhere(reason) for stream in chosen)

    # -- the process goes away ---------------------------------------------------------------------------

    @property
    def draining(self) -> bool:
        """The process is going away; or a server in it, and no other has begun since."""
        if self._loop is not None and self._loop.is_closed():
            self.open()  # without a lifespan nobody else says so
        return self._loop is not None

    def is_going(self) -> bool:
        """`draining`, to be called."""
        return self.draining

    def drain(self) -> None:
        """Turn new streams away, tell the sources, and end all in good order, by the policy's `drain`.

        Each stream is told when it has to go and by when it has to be over; its own timer does the rest.
        """
        if self.draining:
            return
        self._shut()
        plan = DrainPlan(self.policy, asyncio.get_running_loop().time(), len(self._live))
        self._over_by = plan.over_by
        for part in self._parting:
            part.cut_off_at(plan.over_by - LAST)
        for stream in list(self._live.values()):
            stream.leave_by(*plan.next(stream.policy, says_goodbye=stream.says_goodbye))

    def hurry(self) -> None:
        """End every stream now, with no more than a moment for its cleanup."""
        self._shut()
        now = asyncio.get_running_loop().time()
        self._over_by = now + LAST if self._over_by is None else min(self._over_by, now + LAST)
        for part in self._parting:
            part.cut_off_at(self._over_by)
        for stream in list(self._live.values()):
            stream.leave_by(now, self._over_by)
        for wait in self._waits:
            if not wait.expired():
                wait.reschedule(self._over_by + _AFTER)

    def _shut(self) -> None:
        self._loop = asyncio.get_running_loop()
        for gate in self._gates:
            gate.shut()
        self._going.set()

    async def drained(self) -> None:
        """Wait until all that a drain ends is over, callbacks included; at most until its deadline."""
        assert self._over_by is not None
        wait = asyncio.timeout_at(self._over_by + _AFTER)
        try:
            async with wait:
                self._waits.add(wait)
                await self.settle()
        except TimeoutError:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
        finally:
            self._waits.discard(wait)
        self._notifier.give_up()
        forsake()

    async def settle(self) -> None:
        """Wait until no stream is alive and no callback is running."""
        while self._live or self._answering:
            empty = Latch()
            self._settling.append(empty)
            await empty.wait()
        await self._notifier.settle()


def _snapshot(stream: Stream) -> Snapshot:
    machine, writer, now = stream.machine, stream.writer, stream.clock()
    blocked_since = machine.blocked_since
    return Snapshot(
        id=stream.id,
        route=stream.route,
        key=stream.key,
        owner=stream.owner,
        state=machine.state,
        age=now - machine.started_at,
        chunks=writer.chunks,
        bytes=writer.bytes,
        idle=now - machine.last_write_at,
        blocked=0.0 if blocked_since is None else now - blocked_since,
        buffered=writer.buffered,
    )
