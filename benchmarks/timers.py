"""python -m benchmarks.timers: what it costs that each stream has a deadline. A timer each, or one for all?

Every stream has a moment at which it must be looked at: its heartbeat, or a deadline. Here are some ways to
be called then, each as an engine would have it. Nothing is sent; it is about the timers alone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextvars
import gc
import heapq
import sys
import time
import tracemalloc
from abc import abstractmethod
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import uvloop

from benchmarks.harness import machine, markdown
from benchmarks.harness.process import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = ROOT / "docs" / "explanation" / "where-time-goes.md"
BEGIN, END = "<!-- begin: python -m benchmarks.timers --docs -->", "<!-- end of timers -->"
STREAMS = 5_000
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
TURNS = 5  # of which the best counts: what other programs take can only make it dearer
FAR = 15.0  # seconds: what is armed and taken back never fires
ARMED = 10_000  # times
BATCH = 50  # that are armed, or fire, in one callback
TOGETHER = 0.05  # seconds between two moments in which all fire
BURSTS = 8
RATE = 2_500  # a second, of all streams
SPREAD = 0.5  # seconds
RESOLUTION = 1 / 64  # seconds of a bucket


class Stream:
    """What is to be called. It beats once each `period`, and says so in `beats`."""

    __slots__ = ("period",)
    beats = 0

    def __init__(self, period: float) -> None:
        self.period = period

    @abstractmethod
    def arm(self, when: float) -> None:
        """Be called at that time of the loop's."""

    @abstractmethod
    def disarm(self) -> None:
        """Do not be called."""

    def tick(self) -> None:
        """Beat, and be called again; a beat that comes late is not made up for."""
        Stream.beats += 1
        self.arm(asyncio.get_running_loop().time() + self.period)


class OwnTimer(Stream):
    """A timer of the loop's for each; each has a copy of the context that it was set in."""

    __slots__ = ("_loop", "_timer")

    def __init__(self, period: float) -> None:
        super().__init__(period)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def arm(self, when: float) -> None:
        self._timer = self._loop.call_at(when, self.tick)

    def disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def tick(self) -> None:
        Stream.beats += 1
        self.arm(self._loop.time() + self.period)


CONTEXT = contextvars.Context()


class OwnTimerOneContext(OwnTimer):
    """The same, in one context for all: a copy is an object too."""

    __slots__ = ()

    def arm(self, when: float) -> None:
        self._timer = self._loop.call_at(when, self.tick, context=CONTEXT)


def rounded(when: float) -> float:
    """The end of the 64th of a second in which that is."""
    return (int(when / RESOLUTION) + 1) * RESOLUTION


class OwnTimerRounded(OwnTimerOneContext):
    """The same, up to a 64th of a second late: those of one 64th need the loop to wake up once."""

    __slots__ = ()

    def arm(self, when: float) -> None:
        super().arm(rounded(when))


# -- one timer for all ---------------------------------------------------------------------------------------

Entry: TypeAlias = "list[Any]"
"""When, the how manieth that was armed, and who; nobody, if it was taken back."""


class Heap:
    """Who is to be called when, the earliest first; one timer of the loop's."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._entries: list[Entry] = []
        self._number = 0
        self._dead = 0
        self._due = float("inf")
        self._timer: asyncio.TimerHandle | None = None

    def add(self, when: float, stream: InHeap) -> Entry:
        """Arm a stream."""
        self._number += 1
        entry: Entry = [when, self._number, stream]
        heapq.heappush(self._entries, entry)
        if when < self._due:
            self._set(when)
        return entry

    def take_back(self, entry: Entry) -> None:
        """The stream is not to be called; the entry goes when its time comes, or when most have gone."""
        entry[2] = None
        self._dead += 1
        if self._dead > BATCH and self._dead * 2 > len(self._entries):
            self._entries = [each for each in self._entries if each[2] is not None]
            heapq.heapify(self._entries)
            self._dead = 0

    def _set(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = when
        self._timer = self._loop.call_at(when, self._fire)

    def _fire(self) -> None:
        """Call those whose time has come, but not so many that nobody else has a turn."""
        self._timer = None
        # A timer may fire earlier than asked, by the clock's resolution: it stands for its time.
        now = max(self._loop.time(), self._due)
        self._due = 0.0  # who is armed meanwhile need not set it
        left = BATCH
        while left and self._entries and self._entries[0][0] <= now:
            stream = heapq.heappop(self._entries)[2]
            if stream is None:
                self._dead -= 1
            else:
                stream.tick()
                left -= 1
        self._due = float("inf")
        if self._entries:
            self._set(max(now, self._entries[0][0]))


class InHeap(Stream):
    """In a heap of all streams."""

    __slots__ = ("_entry", "_heap")
    heap: Heap

    def __init__(self, period: float) -> None:
        super().__init__(period)
        self._heap = self.heap
        self._entry: Entry | None = None

    def arm(self, when: float) -> None:
        self._entry = self._heap.add(when, self)

    def disarm(self) -> None:
        if self._entry is not None:
            self._heap.take_back(self._entry)
            self._entry = None


class InHeapRounded(InHeap):
    """The same, up to a 64th of a second late."""

    __slots__ = ()

    def arm(self, when: float) -> None:
        super().arm(rounded(when))


class Wheel:
    """Who is to be called in which 64th of a second; one timer of the loop's."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._buckets: dict[int, dict[InWheel, None]] = {}
        self._order: list[int] = []  # a heap of the buckets' numbers
        self._next = sys.maxsize
        self._timer: asyncio.TimerHandle | None = None

    def add(self, when: float, stream: InWheel) -> int:
        """Arm a stream: never too early, up to `RESOLUTION` too late."""
        number = int(when / RESOLUTION) + 1
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = {}
            heapq.heappush(self._order, number)
            if number < self._next:
                self._set(number)
        bucket[stream] = None
        return number

    def take_back(self, number: int, stream: InWheel) -> None:
        """The stream is not to be called. A bucket that is empty stays until its time."""
        del self._buckets[number][stream]

    def _set(self, number: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = number
        self._timer = self._loop.call_at(number * RESOLUTION, self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = max(int(self._loop.time() / RESOLUTION), self._next)
        self._next = 0  # who is armed meanwhile need not set it
        left = BATCH
        while left and self._order and self._order[0] <= now:
            bucket = self._buckets[self._order[0]]
            while left and bucket:
                stream, _ = bucket.popitem()
                stream.tick()
                left -= 1
            if not bucket:
                del self._buckets[heapq.heappop(self._order)]
        self._next = sys.maxsize
        if self._order:
            self._set(self._order[0])


class InWheel(Stream):
    """In a wheel of all streams."""

    __slots__ = ("_number", "_wheel")
    wheel: Wheel

    def __init__(self, period: float) -> None:
        super().__init__(period)
        self._wheel = self.wheel
        self._number: int | None = None

    def arm(self, when: float) -> None:
        self._number = self._wheel.add(when, self)

    def disarm(self) -> None:
        if self._number is not None:
            self._wheel.take_back(self._number, self)
            self._number = None

    def tick(self) -> None:
        self._number = None
        super().tick()


# -- measuring -----------------------------------------------------------------------------------------------


def _prepare() -> None:
    InHeap.heap = Heap()
    InWheel.wheel = Wheel()


WAYS = {
    "a timer each": OwnTimer,
    "a timer each, one context": OwnTimerOneContext,
    "a timer each, one context, in 64ths of a second": OwnTimerRounded,
    "one heap": InHeap,
    "one heap, in 64ths of a second": InHeapRounded,
    "one wheel of 64ths of a second": InWheel,
}
Make: TypeAlias = "Callable[[float], Stream]"


class Cost(NamedTuple):
    """Of one way. All but the last two in µs of processor time.

    Attributes:
        armed: to be armed, and taken back before it fires, beside all the others.
        together: to fire and to be armed again, all at one moment.
        spread: the same, 2,500 a second: with the loop's waking up for them.
        bytes: of an armed stream.
        objects: of an armed stream, for the garbage collector to look at.
    """

    armed: float
    together: float
    spread: float
    bytes: float
    objects: float


def measure(loop: str, make: Make, size: int) -> Cost:
    """The best of some turns, each on a fresh loop."""

    async def one() -> Cost:
        _prepare()
        size_of, objects = await _weigh(make, size)
        return Cost(
            await _arm(make, size), await _together(make, size), await _spread(make, size), size_of, objects
        )

    turns = []
    for _ in range(TURNS):
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            turns.append(runner.run(one()))
    return Cost(
        *map(min, zip(*turns, strict=True)),
    )


async def _weigh(make: Make, size: int) -> tuple[float, float]:
    """Bytes and objects of an armed stream, over those of one that is not."""
    streams = [make(FAR) for _ in range(size)]
    loop = asyncio.get_running_loop()
    gc.collect()
    before = len(gc.get_objects())
    tracemalloc.start()
    for each in streams:
        each.arm(loop.time() + FAR)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    objects = len(gc.get_objects()) - before
    await _disarm(streams)
    return held / size, objects / size


async def _arm(make: Make, size: int) -> float:
    loop = asyncio.get_running_loop()
    others = [make(FAR) for _ in range(size)]
    for number, each in enumerate(others):
        each.arm(loop.time() + FAR * (1 + number / size))
    streams = [make(FAR) for _ in range(BATCH)]
    await asyncio.sleep(0)
    begun = time.thread_time()
    for _ in range(ARMED // BATCH):
        for each in streams:
            each.arm(loop.time() + FAR)
        for each in streams:
            each.disarm()
        await asyncio.sleep(0)  # what was taken back is put away
    took = time.thread_time() - begun
    await _disarm(others)
    return took / ARMED * 1e6


async def _together(make: Make, size: int) -> float:
    loop = asyncio.get_running_loop()
    streams = [make(TOGETHER) for _ in range(size)]
    begins = loop.time() + TOGETHER
    for each in streams:
        each.arm(begins)
    cost = await _fire_for(TOGETHER * (BURSTS + 0.5))
    await _disarm(streams)
    return cost


async def _spread(make: Make, size: int) -> float:
    loop = asyncio.get_running_loop()
    period = size / RATE
    streams = [make(period) for _ in range(size)]
    begins = loop.time() + TOGETHER
    for number, each in enumerate(streams):
        each.arm(begins + period * number / size)
    await asyncio.sleep(TOGETHER)
    cost = await _fire_for(SPREAD)
    await _disarm(streams)
    return cost


async def _fire_for(seconds: float) -> float:
    """µs of processor time for each beat in so many seconds."""
    Stream.beats = 0
    begun = time.thread_time()
    await asyncio.sleep(seconds)
    return (time.thread_time() - begun) / Stream.beats * 1e6


async def _disarm(streams: list[Stream]) -> None:
    for each in streams:
        each.disarm()
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def table(streams: int) -> str:
    """A row for each way on each loop, as Markdown."""
    head = (
        "loop",
        "way",
        "µs to arm and take back",
        "µs to fire, together",
        "µs to fire, spread",
        "bytes",
        "objects",
    )
    rows = [_row(loop, way, measure(loop, make, streams)) for loop in LOOPS for way, make in WAYS.items()]
    return markdown.table(head, ["---"] * len(head), rows)


def _row(loop: str, way: str, cost: Cost) -> tuple[str, ...]:
    return (
        loop,
        way,
        f"{cost.armed:.2f}",
        f"{cost.together:.2f}",
        f"{cost.spread:.1f}",
        f"{cost.bytes:.0f}",
        f"{cost.objects:.0f}",
    )


def main() -> None:
    """Measure, show, and write down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.timers", description=__doc__)
    parser.add_argument("--streams", type=int, default=STREAMS)
    parser.add_argument("--docs", action="store_true", help="into the documentation too")
    options = parser.parse_args()
    machine.pin(machine.CLIENT_CORE)
    text = table(options.streams)
    print(text)
    if options.docs:
        about = machine.description()
        where = f"{datetime.now(UTC):%Y-%m-%d}, Python {about['python']}, uvloop {version('uvloop')}."
        markdown.put(PAGE, BEGIN, END, f"{where}\n\n{text}\n")


if __name__ == "__main__":
    main()
