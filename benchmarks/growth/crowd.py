"""10,000 streams of 2 events a second, of which 2,000 leave in every way: is anything lost, or left?"""

from __future__ import annotations

import itertools
import statistics
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.growth.clients import Crowd
from benchmarks.growth.leaving import HALF_CLOSES, LEAVES, PAUSES, STALLS, STAYS, STOPS, Buttons, plan
from benchmarks.growth.server import running
from benchmarks.harness.process import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.growth.clients import Member
    from benchmarks.growth.leaving import Act, Members, Way
    from benchmarks.growth.server import Census, Seen, Server

STREAMS = 10_000
LEAVING = 0.2  # share of them
PAUSING = 0.02
PERIOD = 0.5  # seconds between two events of a stream
SEND = 3.0  # seconds: the policy's, after which who has stopped reading is given up
SLOTS = 1_000  # of endwell's clock for far deadlines: 64 for each second of the heartbeat, until their time
WARM = 200  # streams that come and go before anything is counted
SETTLE = 2.0  # seconds
CATCH_UP = 0.5
PATIENCE = 15.0  # seconds
SECONDS = 30.0  # seconds that are measured; by then all that left have ended
STOPPED = b'"stopped"'


@dataclass(frozen=True, slots=True)
class Run:
    """What was measured while they came and went.

    Attributes:
        events: that came.
        rate: of those who read to the end, as a share of what was due to them.
        delay: ms from when each event was due until a client had it: median, 99th percentile, most.
        server: share of its core that the server was busy.
        waited: share of the time in which it could have been, and another program was there.
        client: the same of the client.
        seen: what the server's process saw of itself.
    """

    events: int
    rate: float
    delay: tuple[float, float, float]
    server: float
    waited: float
    client: float
    seen: Seen


@dataclass(frozen=True, slots=True)
class Account:
    """What became of those who did the same.

    Attributes:
        clients: how many they were.
        events: how many they had, each its own and in order.
        ended: how many of their streams ended so.
    """

    clients: int
    events: int
    ended: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a crowd.

    Attributes:
        run: while it was there.
        accounts: by what they did.
        opening: seconds until all were open.
        coming: what the server's process saw of itself until then.
        before: what there was in the server's process before it came.
        after: and when it had gone.
        memory: KiB of it before, with all open, when it had gone, and with as many open for a second time.
    """

    run: Run
    accounts: Mapping[str, Account]
    opening: float
    coming: Seen
    before: Census
    after: Census
    memory: tuple[float, float, float, float]


def measure(streams: int, collector: str = "default") -> Result:
    """Let a crowd come, be served, and leave.

    Args:
        streams: how many.
        collector: how the server's is set.

    Raises:
        BenchmarkError: An event was lost, doubled or another stream's, a stream ended otherwise than by what
            its client did, or something is left of one.
    """
    with running("--send", str(SEND), "--collector", collector) as server, Crowd(server.port) as crowd:
        before = _warm_up(server, crowd)
        empty = server.memory()
        server.seen()
        begun = time.monotonic()
        members = _open(crowd, streams)
        opening, coming = time.monotonic() - begun, server.seen()
        server.begin()
        crowd.read_for(SETTLE)
        full = server.memory()
        run = _run(server, crowd, members)
        crowd.close()
        _close_all(members[STALLS])
        server.until(before.tasks)
        accounts = dict(_accounts(members, server.endings()[WARM:]))
        after, left = server.census(collect=True), server.memory()
        _see_what_is_left(before, after, streams)
        crowd.open(range(streams), "period=3600")
        crowd.read_for(SETTLE)
        again = server.memory()
    return Result(run, accounts, opening, coming, before, after, (empty, full, left, again))


def _warm_up(server: Server, crowd: Crowd) -> Census:
    """Let some come and go, so that what is made once is there."""
    tasks = server.census().tasks
    crowd.open(range(WARM), "period=3600")
    crowd.close()
    server.until(tasks)
    return server.census(collect=True)


def _open(crowd: Crowd, streams: int) -> Members:
    each = round(streams * LEAVING / len(LEAVES))
    shares = {**dict.fromkeys(LEAVES, each), PAUSES: round(streams * PAUSING)}
    shares[STAYS] = streams - sum(shares.values())
    members, opened = {}, 0
    for way, share in shares.items():
        numbers = range(opened, opened + share)
        members[way] = crowd.open(numbers, f"period={PERIOD}&held=1", narrow=way.is_narrow)
        opened += share
    return members


# -- while they are there ------------------------------------------------------------------------------------


def _run(server: Server, crowd: Crowd, members: Members) -> Run:
    with Buttons(server.port) as buttons:
        acts = sorted(plan(crowd, members, buttons), key=lambda each: each[0])
        server.seen()
        _catch_up(crowd)
        had = _events(members[STAYS])
        spent, waited = server.cpu(), server.waited()
        own, begun = time.process_time(), time.monotonic()
        ended = set(_follow(acts, crowd, begun))
        took = time.monotonic() - begun
        spent, waited, own = server.cpu() - spent, server.waited() - waited, time.process_time() - own
        had = _events(members[STAYS]) - had
        delays = [each / 1e6 for each in statistics.quantiles(crowd.delays, n=100, method="inclusive")]
        if ended != {*members[STOPS], *members[HALF_CLOSES]}:
            which = Counter(way.name for way, readers in members.items() for _ in ended & {*readers})
            raise BenchmarkError(
                f"streams ended for their clients, and not those that should: {dict(which)}; "
                f"delay p99 {delays[98]:.0f} ms, the server's core busy {spent / took:.0%}, "
                f"and taken by others {waited / took:.0%}"
            )
        if (stopped := buttons.answers().count(STOPPED)) != len(members[STOPS]):
            raise BenchmarkError(f"{stopped} of {len(members[STOPS])} stops were answered so")
    return Run(
        events=len(crowd.delays),
        rate=had * PERIOD / took / len(members[STAYS]),
        delay=(delays[49], delays[98], max(crowd.delays) / 1e6),
        server=spent / took,
        waited=waited / took,
        client=own / took,
        seen=server.seen(),
    )


def _catch_up(crowd: Crowd) -> None:
    """Read until no event is late any more for having begun with all others, but not for ever."""
    limit = time.monotonic() + PATIENCE
    late = True
    while late and time.monotonic() < limit:
        del crowd.delays[:]
        crowd.read_for(CATCH_UP)
        late = max(crowd.delays, default=0) > CATCH_UP * 1e9
    del crowd.delays[:]


def _follow(acts: Sequence[tuple[float, Act]], crowd: Crowd, begun: float) -> Iterator[Member]:
    """Do each at its time, and read; those whose streams ended."""
    for at, act in [*acts, (SECONDS, _nothing)]:
        yield from crowd.read_for(begun + at - time.monotonic())
        act()


def _nothing() -> None:
    pass


# -- when they have gone -------------------------------------------------------------------------------------


def _accounts(members: Members, endings: Sequence[tuple[str, str, int]]) -> Iterator[tuple[str, Account]]:
    """Hold what the server says of each stream against what its client knows."""
    known = {stream: (outcome, chunks) for stream, outcome, chunks in endings}
    if len(known) < len(endings) or known.keys() != {each.stream for each in _all(members)}:
        raise BenchmarkError(f"{len(endings)} endings of {len(known)} streams")
    for way, readers in members.items():
        ended = dict(Counter(known[reader.stream or ""][0] for reader in readers))
        if ended != {way.outcome: len(readers)}:
            raise BenchmarkError(f"those that {way.name} ended so: {ended}")
        for reader in readers:
            _compare(way, reader, known[reader.stream or ""][1])
        yield way.name, Account(len(readers), _events(readers), ended)


def _compare(way: Way, reader: Member, chunks: int) -> None:
    """A client may have left before it read what the server had taken, but not have had more."""
    if reader.events > chunks or (way.sees_the_end and reader.events < chunks):
        raise BenchmarkError(f"stream {reader.number} had {reader.events} events, of {chunks} sent")
    if reader.was_stopped != (way is STOPS):
        raise BenchmarkError(f"stream {reader.number} was told wrongly how it ended")


def _see_what_is_left(before: Census, after: Census, streams: int) -> None:
    left = [
        after.tasks > before.tasks,
        after.threads > before.threads,
        after.descriptors > before.descriptors,
        after.objects > before.objects + max(streams, SLOTS),  # a few for the whole, and no one for each
    ]
    if any(left):
        raise BenchmarkError(f"something is left: {before} before, {after} after")


def _all(members: Members) -> Iterator[Member]:
    return itertools.chain.from_iterable(members.values())


def _events(readers: Sequence[Member]) -> int:
    return sum(reader.events for reader in readers)


def _close_all(readers: Sequence[Member]) -> None:
    for reader in readers:
        reader.socket.close()
