"""Streams that end in every way there is, and the tally of what they began and finished."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from types import SimpleNamespace, TracebackType
from typing import Any

from endwell import (
    ByteStream,
    ClientError,
    Ending,
    EventStream,
    Finish,
    Grace,
    NDJSONStream,
    Outcome,
    Policy,
    StreamResponse,
    Streams,
    current_stream,
)
from endwell.types import Source
from tests.engine.scene import FULL, QUIET, for_ever, turns
from tests.peer import FOREVER, Obstacle, Peer


@dataclass
class Tally:
    """What was begun must have been finished, as often."""

    begun: Counter[str] = field(default_factory=Counter)
    finished: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)

    def source(self) -> Inside:
        """For `async with` around a source: its cleanup awaits."""
        return Inside(self, "source")

    def resource(self, *, raises: bool = False) -> Callable[[], Awaitable[None]]:
        """Something to own: the call that releases it, which awaits."""
        self.begun["resource"] += 1

        async def release() -> None:
            await asyncio.sleep(0.01)
            self.finished["resource"] += 1
            if raises:
                raise LookupError

        return release


@dataclass(slots=True)
class Inside:
    """A block whose exit awaits for a moment, and is counted when it has come to its end."""

    tally: Tally
    what: str

    async def __aenter__(self) -> None:
        self.tally.begun[self.what] += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.sleep(0.01)
        self.tally.finished[self.what] += 1


# -- sources -------------------------------------------------------------------------------------------------


async def words(tally: Tally) -> AsyncIterator[str]:
    async with tally.source():
        for _ in range(3):
            yield "word"
            await asyncio.sleep(0)


async def silence(tally: Tally) -> AsyncIterator[str]:
    async with tally.source():
        await for_ever()
        yield "never"


async def one_word(tally: Tally) -> AsyncIterator[str]:
    async with tally.source():
        yield "word"
        await for_ever()


async def fullness(tally: Tally) -> AsyncIterator[bytes]:
    async with tally.source():
        while True:
            yield FULL


async def fails_early(tally: Tally) -> AsyncIterator[str]:
    async with tally.source():
        raise LookupError
        yield "never"


async def fails(tally: Tally) -> AsyncIterator[str]:
    async with tally.source():
        yield "word"
        await asyncio.sleep(1)
        raise LookupError


async def crashes(tally: Tally) -> AsyncIterator[str]:
    async with tally.source():
        yield "word"
        raise SystemExit(3)


async def nonsense(tally: Tally) -> AsyncIterator[object]:
    async with tally.source():
        yield object()


async def slow_words(tally: Tally) -> AsyncIterator[str]:
    async with tally.source():
        for _ in range(3):
            yield "word"
            await asyncio.sleep(1)


async def refuses(tally: Tally) -> AsyncIterator[str]:
    async with tally.source():
        raise ClientError("quota_exceeded", "Come back tomorrow.", status=429)
        yield "never"


async def breaks_off(tally: Tally) -> AsyncIterator[str]:
    async with tally.source():
        yield "word"
        await asyncio.sleep(1)
        raise ClientError("quota_exceeded", "Come back tomorrow.")


async def stops(tally: Tally) -> AsyncIterator[str]:
    async with tally.source():
        yield "word"
        current_stream().stop("enough")
        await for_ever()


async def fails_to_clean_up(tally: Tally) -> AsyncIterator[str]:
    async with tally.source():
        try:
            yield "word"
            await for_ever()
        finally:
            raise LookupError


async def is_stuck(tally: Tally) -> AsyncIterator[str]:
    async with tally.source():
        try:
            yield "word"
            await for_ever()
        except asyncio.CancelledError:
            await for_ever()  # until the cleanup's deadline


async def spawns(tally: Tally) -> AsyncIterator[str]:
    async with tally.source():
        _ = current_stream().spawn(_beside(tally))
        _ = current_stream().spawn(_beside(tally))
        yield "word"
        await for_ever()


async def spawns_failure(tally: Tally) -> AsyncIterator[str]:
    async with tally.source():
        _ = current_stream().spawn(_beside(tally))
        _ = current_stream().spawn(_fail())
        yield "word"
        await for_ever()


async def _beside(tally: Tally) -> None:
    async with Inside(tally, "task"):
        await for_ever()


async def _fail() -> None:
    await asyncio.sleep(0.1)
    raise LookupError


async def owns_late(tally: Tally) -> AsyncIterator[str]:
    async with tally.source():
        current_stream().owns(tally.resource())
        current_stream().owns(tally.resource(raises=True))
        yield "word"
        await for_ever()


def sync_words(tally: Tally) -> Iterator[str]:
    tally.begun["thread"] += 1
    try:
        for _ in range(3):
            yield "word"
    finally:
        tally.finished["thread"] += 1


def sync_for_ever(tally: Tally) -> Iterator[str]:
    tally.begun["thread"] += 1
    try:
        while True:
            yield "word"
    finally:
        tally.finished["thread"] += 1


# -- what happens to them ------------------------------------------------------------------------------------


async def leave(peer: Peer, streams: Streams) -> None:
    peer.leave()


async def leave_soon(peer: Peer, streams: Streams) -> None:
    await turns(3)
    peer.leave()


async def leave_later(peer: Peer, streams: Streams) -> None:
    await peer.got(b"word")
    peer.leave()


async def leave_when_complete(peer: Peer, streams: Streams) -> None:
    await peer.until(lambda: peer.complete)
    peer.leave()


async def stall(peer: Peer, streams: Streams) -> None:
    peer.stall()


async def stall_then_leave(peer: Peer, streams: Streams) -> None:
    peer.stall()
    await asyncio.sleep(5)
    peer.leave()


async def cancel(peer: Peer, streams: Streams) -> None:
    await peer.got(b"word")
    peer.task.cancel()


async def stop(peer: Peer, streams: Streams) -> None:
    await peer.got(b"word")
    (stream,) = [each.id for each in streams.active() if each.route == peer.scope["endpoint"].__qualname__]
    assert streams.stop(stream)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One way to end.

    Attributes:
        source: Makes the source.
        outcome: What the stream ends as; None if nobody is told of it, since it is none.
        act: What the client, or somebody else, does.
        policy: The stream's policy.
        response: The class of the response.
        sends: What the server's sends meet.
        scope: What the request is like.
    """

    source: Callable[[Tally], Source]
    outcome: Outcome | None
    act: Callable[[Peer, Streams], Awaitable[None]] | None = None
    policy: Policy = QUIET
    response: Callable[..., StreamResponse] = EventStream
    sends: Mapping[int, Obstacle] = field(default_factory=dict)
    scope: Mapping[str, Any] = field(default_factory=dict)


def _quiet(**options: Any) -> Policy:
    return Policy(**{"heartbeat": None, "hold": None, "send": None, **options})


KINDS: dict[str, Kind] = {
    "completed": Kind(source=words, outcome=Outcome.COMPLETED),
    "completed with heartbeats": Kind(source=words, outcome=Outcome.COMPLETED, policy=Policy(hold=0)),
    "completed as lines": Kind(source=words, outcome=Outcome.COMPLETED, response=NDJSONStream),
    "completed as bytes": Kind(source=words, outcome=Outcome.COMPLETED, response=ByteStream),
    "completed, then left": Kind(source=words, outcome=Outcome.COMPLETED, act=leave_when_complete),
    "completed for good": Kind(
        source=words, outcome=Outcome.COMPLETED, response=partial(EventStream, resume_token=True)
    ),
    "completed in a thread": Kind(source=sync_words, outcome=Outcome.COMPLETED),
    "left at once": Kind(source=silence, outcome=Outcome.CLIENT_GONE, act=leave),
    "left before the first chunk": Kind(source=silence, outcome=Outcome.CLIENT_GONE, act=leave_soon),
    "left": Kind(source=one_word, outcome=Outcome.CLIENT_GONE, act=leave_later),
    "left a thread": Kind(source=sync_for_ever, outcome=Outcome.CLIENT_GONE, act=leave_later),
    "left while blocked": Kind(
        source=fullness, outcome=Outcome.CLIENT_GONE, act=stall_then_leave, response=ByteStream
    ),
    "left, and the cleanup raises": Kind(
        source=fails_to_clean_up, outcome=Outcome.CLIENT_GONE, act=leave_later
    ),
    "left, and the source is stuck": Kind(
        source=is_stuck, outcome=Outcome.CLIENT_GONE, act=leave_later, policy=_quiet(cleanup=1)
    ),
    "left, and finishes": Kind(
        source=slow_words, outcome=Outcome.CLIENT_GONE, act=leave_later, policy=_quiet(on_leave="finish")
    ),
    "left, and does not finish in time": Kind(
        source=one_word, outcome=Outcome.CLIENT_GONE, act=leave_later, policy=_quiet(on_leave=Finish(5))
    ),
    "left, and finishes in its grace": Kind(
        source=slow_words, outcome=Outcome.CLIENT_GONE, act=leave_later, policy=_quiet(on_leave=Grace(9))
    ),
    "left, and does not finish in its grace": Kind(
        source=one_word, outcome=Outcome.CLIENT_GONE, act=leave_later, policy=_quiet(on_leave=Grace(1))
    ),
    "left, with tasks": Kind(source=spawns, outcome=Outcome.CLIENT_GONE, act=leave_later),
    "left, with resources": Kind(source=owns_late, outcome=Outcome.CLIENT_GONE, act=leave_later),
    "send failed": Kind(source=words, outcome=Outcome.CLIENT_GONE, sends={2: OSError}),
    "send crashed": Kind(source=words, outcome=Outcome.FAILED, sends={2: LookupError}),
    "failed before the first chunk": Kind(source=fails_early, outcome=Outcome.FAILED),
    "failed": Kind(source=fails, outcome=Outcome.FAILED),
    "failed as bytes": Kind(source=fails, outcome=Outcome.FAILED, response=ByteStream),
    "crashed": Kind(source=crashes, outcome=Outcome.FAILED),
    "failed with nonsense": Kind(source=nonsense, outcome=Outcome.FAILED, response=ByteStream),
    "failed in a dialect": Kind(
        source=fails, outcome=Outcome.FAILED, response=partial(EventStream, dialect="openai-chat")
    ),
    "refused on purpose": Kind(source=refuses, outcome=Outcome.FAILED),
    "broken off on purpose": Kind(source=breaks_off, outcome=Outcome.FAILED),
    "failed in a task": Kind(source=spawns_failure, outcome=Outcome.FAILED),
    "timed out before the first chunk": Kind(
        source=silence, outcome=Outcome.TIMED_OUT, policy=_quiet(first_chunk=1)
    ),
    "timed out between chunks": Kind(
        source=one_word, outcome=Outcome.TIMED_OUT, policy=_quiet(between_chunks=1)
    ),
    "timed out in a total that was drawn": Kind(
        source=one_word, outcome=Outcome.TIMED_OUT, policy=_quiet(total=(1, 3))
    ),
    "timed out in total": Kind(source=one_word, outcome=Outcome.TIMED_OUT, policy=_quiet(total=2)),
    "slow client": Kind(
        source=fullness,
        outcome=Outcome.SLOW_CLIENT,
        act=stall,
        policy=_quiet(send=2),
        response=ByteStream,
    ),
    "slow client, at its headers": Kind(
        source=words, outcome=Outcome.SLOW_CLIENT, policy=_quiet(send=2), sends={1: FOREVER}
    ),
    "stopped": Kind(source=one_word, outcome=Outcome.STOPPED, act=stop),
    "stopped by itself": Kind(source=stops, outcome=Outcome.STOPPED),
    "cancelled": Kind(source=one_word, outcome=Outcome.STOPPED, act=cancel),
    "drained": Kind(source=one_word, outcome=Outcome.DRAINED),
    "drained before the first chunk": Kind(source=silence, outcome=Outcome.DRAINED),
    "only asked for its headers": Kind(source=words, outcome=None, scope={"method": "HEAD"}),
}
_numbers = count()


async def play(kind: str, tally: Tally, streams: Streams, state: Mapping[str, Any], *, told: bool) -> None:
    """Run one stream of `kind` to its end, whatever it raises to the server."""
    what = KINDS[kind]

    async def hear(ending: Ending) -> None:
        tally.outcomes[kind, ending.outcome] += 1

    response = what.response(
        what.source(tally),
        policy=what.policy,
        owns=[tally.resource(), tally.resource(raises="raises" in kind)],
        on_end=hear if told else None,
    )
    endpoint = SimpleNamespace(__qualname__=f"{kind} {next(_numbers)}")  # what the stream's route is called
    scope = {**what.scope, "state": dict(state), "endpoint": endpoint}
    peer = Peer(response, sends=what.sends, **scope)
    if what.act is not None:
        await what.act(peer, streams)
    await peer.over()
