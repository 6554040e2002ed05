"""Whatever the source, the client and the clock do, in whatever order: one ending, and everything released.

A script says what the source does step by step, what the client and the server do and when, and which
deadlines there are. Hypothesis writes the scripts.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from endwell import (
    ByteStream,
    Ending,
    EventStream,
    NDJSONStream,
    NoCurrentStream,
    Outcome,
    Policy,
    current_stream,
)
from endwell.engine import Registry
from tests.engine.scene import Visit, now, turns
from tests.peer import FOREVER, Obstacle

Step: TypeAlias = tuple[str, float]
Event: TypeAlias = tuple[float, int, Literal["leave", "stall", "resume", "cancel", "stop", "drain"]]

RESPONSES: dict[str, Any] = {"sse": EventStream, "ndjson": NDJSONStream, "raw": ByteStream}
LONG_AFTER = 500.0
"""Seconds after which every script is over, and whatever was let go has ended by itself."""


@dataclass(frozen=True)
class Script:
    response: str
    policy: Policy
    steps: list[Step]
    cleanup: list[Step] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    sends: dict[int, Obstacle] = field(default_factory=dict)
    latency: float | None = None
    hasty: bool = False


moments = st.sampled_from([0, 0.5, 1, 2, 3, 5, 8])
steps = st.one_of(
    st.tuples(st.just("yield"), st.sampled_from([0, 0, 100, 70_000])),
    st.tuples(st.sampled_from(["sleep", "sleep", "swallow"]), st.sampled_from([0, 0.5, 1, 3, 20])),
    st.tuples(
        st.sampled_from(["raise", "crash", "end", "bad", "stop", "own", "spawn", "spawn failing"]), st.just(0)
    ),
)
cleanups = st.lists(
    st.tuples(st.sampled_from(["sleep", "swallow"]), st.sampled_from([0, 0.5, 3, 40]))
    | st.sampled_from([("raise", 0), ("own", 0), ("yield", 10)]),
    max_size=2,
)
kinds = st.sampled_from(["leave", "leave", "stall", "resume", "cancel", "stop", "drain"])
sends = st.dictionaries(
    st.integers(1, 6), st.sampled_from([0.5, 7, FOREVER, OSError, RuntimeError, LookupError]), max_size=1
)
policies = st.builds(
    Policy,
    heartbeat=st.sampled_from([None, 1, 4]),
    hold=st.sampled_from([None, 0, 0.5, 5]),
    first_chunk=st.sampled_from([None, None, 1, 6]),
    between_chunks=st.sampled_from([None, None, 5, 6]),
    send=st.sampled_from([None, 2, 30]),
    total=st.sampled_from([None, None, 4, 9]),
    cleanup=st.sampled_from([1, 15]),
)
scripts = st.builds(
    Script,
    response=st.sampled_from(sorted(RESPONSES)),
    policy=policies,
    steps=st.lists(steps, max_size=8),
    cleanup=cleanups,
    events=st.lists(st.tuples(moments, st.integers(0, 5), kinds), max_size=4),
    sends=sends,
    latency=st.sampled_from([None, None, 0, 0.3]),
    hasty=st.booleans(),
)
coincidences = st.builds(
    Script,
    response=st.sampled_from(sorted(RESPONSES)),
    policy=st.sampled_from(
        [Policy(hold=None, heartbeat=None, cleanup=4), Policy(hold=2, heartbeat=2, total=2, cleanup=4)]
    ),
    steps=st.tuples(
        st.sampled_from([[], [("yield", 0)], [("yield", 70_000), ("yield", 70_000)]]),
        st.just([("sleep", 2)]),
        st.sampled_from(
            [[("raise", 0)], [("end", 0)], [("stop", 0), ("sleep", 9)], [("yield", 0)], [("crash", 0)]]
        ),
    ).map(lambda parts: [step for part in parts for step in part]),
    cleanup=st.sampled_from([[], [("sleep", 0)], [("sleep", 1)]]),
    events=st.lists(st.tuples(st.just(2), st.integers(0, 8), kinds), min_size=1, max_size=4),
    sends=st.sampled_from([{}, {2: 2.0}, {3: FOREVER}]),
    latency=st.sampled_from([None, 0]),
)


class Play:
    """One performance of a script: what the source did, and what became of what it owned."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.produced = 0
        self.cancellations = 0
        self.entered = self.left = False
        self.owned = 0
        self.released: Counter[int] = Counter()
        self.returned_at = 0.0

    # -- the source --------------------------------------------------------------------------------------

    async def source(self) -> AsyncIterator[object]:
        self.entered = True
        try:
            for what, value in self.script.steps:
                if what == "yield":
                    yield self.chunk(int(value))
                elif what == "bad":
                    yield object()
                elif what == "end":
                    return
                else:
                    await self.act(what, value)
        finally:
            for what, value in self.script.cleanup:
                if what == "yield":
                    try:
                        yield self.chunk(0)
                    except GeneratorExit:
                        pass
                else:
                    await self.act(what, value)
            self.left = True

    def chunk(self, size: int) -> object:
        text = f"{self.produced}" + "x" * size
        self.produced += 1
        return f"{text};".encode() if self.script.response == "raw" else text

    async def act(self, what: str, value: float) -> None:
        match what:
            case "sleep" | "swallow":
                await self.sleep(value, swallow=what == "swallow")
            case "raise":
                self.left = True
                raise LookupError
            case "crash":
                self.left = True
                raise SystemExit
            case "stop":
                current_stream().stop()
            case "own":
                self.own()
            case _:
                _ = current_stream().spawn(self.beside(failing=what == "spawn failing"))

    async def sleep(self, seconds: float, *, swallow: bool) -> None:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancellations += 1
            if not swallow:
                self.left = True
                raise

    async def beside(self, *, failing: bool) -> None:
        await asyncio.sleep(2)
        if failing:
            raise LookupError

    def own(self) -> None:
        release = self.resource()
        try:
            current_stream().owns(release)
        except NoCurrentStream:
            self.owned -= 1  # refused, because the cleanup was given up before: nothing was taken over

    def resource(self) -> Any:
        number = self.owned
        self.owned += 1

        async def release() -> None:
            self.released[number] += 1
            await asyncio.sleep(0.25)

        return release

    # -- the performance ---------------------------------------------------------------------------------

    async def run(self) -> tuple[Visit, Ending]:
        script = self.script
        registry = Registry(script.policy)
        visit = Visit(
            self.source(),
            RESPONSES[script.response],
            policy=script.policy,
            owns=[self.resource(), self.resource()],
            state={"endwell": registry},
            sends=script.sends,
            latency=script.latency,
            hasty=script.hasty,
        )
        directors = [asyncio.create_task(self.direct(visit, registry, event)) for event in script.events]
        directors.append(asyncio.create_task(self.direct(visit, registry, (100, 0, "leave"))))
        await asyncio.wait([visit.task])
        self.returned_at = now()
        await registry.settle()
        await asyncio.sleep(LONG_AFTER)
        for director in directors:
            await director
        return visit, await visit.ending()

    async def direct(self, visit: Visit, registry: Registry, event: Event) -> None:
        moment, turn, what = event
        await asyncio.sleep(moment)
        await turns(turn)
        match what:
            case "cancel":
                visit.task.cancel()
            case "stop":
                registry.stop_all(reason="asked")
            case "drain":
                registry.drain()
            case _:
                getattr(visit, what)()


# -- what holds for every performance ------------------------------------------------------------------------


def numbers(script: Script, visit: Visit) -> tuple[list[int], list[bytes]]:
    """The numbers of the chunks on the wire, and what came after them."""
    frames = visit.frames
    if script.response == "raw":
        frames = [frame for frame in visit.body.split(b";") if frame]
    chunks = []
    for frame in frames:
        text = frame.removeprefix(b"data: ").strip(b'"').rstrip(b"x")
        if not text.isdigit():
            break
        chunks.append(int(text))
    return chunks, frames[len(chunks) :]


def check(play: Play, visit: Visit, ending: Ending) -> None:
    script = play.script
    # Everything was released, once each, and the source was left, or that is said.
    assert play.released == Counter(range(play.owned))
    assert play.left or not play.entered or ending.overdue
    assert play.cancellations <= (1 if not ending.overdue else 2)
    # Nobody waited longer than the cleanup may take.
    assert play.returned_at <= ending.duration + script.policy.cleanup + 1e-6
    assert 0 <= ending.cleanup <= script.policy.cleanup + 1e-6
    check_wire(script, visit, ending)


def check_wire(script: Script, visit: Visit, ending: Ending) -> None:
    assert len(visit.unheard) <= 2  # what was on its way when the client left
    if visit.status is not None and visit.status >= 500:
        failing = any(not isinstance(obstacle, (int, float)) for obstacle in script.sends.values())
        if not visit.complete or visit.unheard or failing:
            return
        error = msgspec.json.decode(visit.body)["error"]
        assert error["ref"] == ending.reference
        assert ending.chunks == 0
        return
    chunks, rest = numbers(script, visit)
    assert chunks == list(range(len(chunks)))
    assert ending.chunks <= len(chunks) or visit.unheard
    assert len(rest) <= 1
    if rest:
        assert ending.reference is not None
        assert ending.reference.encode() in rest[0]
        assert visit.complete
    elif visit.complete and not (visit.left or script.sends):
        # Ended as if whole: then it is whole.
        assert ending.outcome is Outcome.COMPLETED
        assert ending.chunks == len(chunks)
    if ending.outcome is Outcome.COMPLETED:
        assert visit.complete
        assert not rest
        assert not visit.was_cut
    assert (ending.error is not None) == (ending.outcome is Outcome.FAILED)


@given(script=scripts)
async def test_any_script_has_one_ending_and_everything_is_released(script: Script) -> None:
    play = Play(script)
    visit, ending = await play.run()
    check(play, visit, ending)


@given(script=coincidences)
async def test_whatever_coincides_is_one_ending(script: Script) -> None:
    play = Play(script)
    visit, ending = await play.run()
    check(play, visit, ending)
