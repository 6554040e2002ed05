"""What a stream may be at when the signal comes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tests.shutdown.durations import AT_ONCE, CLEANUP, DRAIN, LINGER
from tests.shutdown.journal import Entry
from tests.shutdown.served import Served
from tests.shutdown.visitors import Direct, Late, Leaver, Reader, Second, Visitor, Waiting

BLOCKED_AFTER = 0.25
"""Seconds without a chunk after which a source that gives one every 10 ms is blocked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """One of them.

    Attributes:
        title: in the table.
        visitor: the client; it asks for the source of the situation's name.
        visitors: how many of them there are.
        there: what the journal says of the source when it has come so far. "blocked": that its last chunk was
            a while ago: it may be silent by itself, too.
        last: the same, when it is only after the visitor's last act that it has.
        told: what the client gets: the farewell of a stream, the refusal of a request, either, as hypercorn
            says nothing of the signal and it takes a moment to notice, a body that is visibly cut, or nothing
            at all.
        within: seconds from the signal in which it gets it.
        finishes: the source's cleanup comes to its end, if the source has started.
        outcomes: what its ending may say.
        needs_lifespan: a server without it drops requests at the signal, unless streams live.
        needs_one_worker: two requests have to come to the same process.
        needs_buffers: it is about what fits between server and client; over HTTP/2 there is a window.
    """

    title: str
    visitor: type[Visitor]
    visitors: int = 1
    there: str = "started"
    last: str | None = None
    told: Literal["farewell", "refusal", "either", "cut"] | None = None
    within: float = AT_ONCE
    finishes: bool = True
    outcomes: frozenset[str] = frozenset({"drained"})
    needs_lifespan: bool = False
    needs_one_worker: bool = False
    needs_buffers: bool = False

    def reason_against(self, served: Served) -> str | None:
        """Why it cannot be played on a server."""
        if self.needs_lifespan and not served.lifespan:
            return "dropped at the signal"
        if self.needs_buffers and served.http == 2:
            return "HTTP/2 has a window"
        return "requests go to any worker" if self.needs_one_worker and served.workers > 1 else None

    def reached(self, entries: list[Entry], what: str) -> bool:
        """Whether the journal says `what` of the source, by its `entries`."""
        if what != "blocked":
            return any(entry.what == what for entry in entries)
        chunks = [entry.at for entry in entries if entry.what == "chunk"]
        return bool(chunks) and time.monotonic_ns() - chunks[-1] > BLOCKED_AFTER * 1e9


_OVERDUE = frozenset({"drained, overdue"})

SITUATIONS = {
    "idle": Situation(title="idle", visitor=Reader, told="farewell"),
    "sending": Situation(title="sending", visitor=Reader, told="farewell"),
    "blocked": Situation(title="blocked by a reader that never reads", visitor=Direct, there="blocked"),
    "behind": Situation(
        title="idle, to a reader that never reads",
        visitor=Direct,
        visitors=12,
        there="blocked",
        needs_one_worker=True,
        needs_buffers=True,
    ),
    "raw": Situation(title="idle, raw bytes", visitor=Reader, told="cut"),
    "lingering": Situation(
        title="in cleanup", visitor=Leaver, last="cleanup", outcomes=frozenset({"client_gone"})
    ),
    "hanging": Situation(
        title="in a cleanup that hangs",
        visitor=Leaver,
        last="cleanup",
        finishes=False,
        outcomes=frozenset({"client_gone, overdue"}),
    ),
    "stuck": Situation(
        title="stuck source", visitor=Reader, told="farewell", finishes=False, outcomes=_OVERDUE
    ),
    "thread": Situation(
        title="blocked thread", visitor=Reader, told="farewell", finishes=False, outcomes=_OVERDUE
    ),
    "goodbye": Situation(
        title="source that says goodbye itself", visitor=Reader, told="farewell", within=AT_ONCE + LINGER
    ),
    "ignoring": Situation(
        title="source that says it will, and does not",
        visitor=Reader,
        told="farewell",
        within=DRAIN - CLEANUP + AT_ONCE,
    ),
    "worst": Situation(
        title="the same, and stuck then",
        visitor=Reader,
        told="farewell",
        within=DRAIN - CLEANUP + AT_ONCE,
        finishes=False,
        outcomes=_OVERDUE,
    ),
    "held": Situation(title="before the first chunk", visitor=Waiting, told="refusal"),
    "dependent": Situation(
        title="being admitted: in a dependency",
        visitor=Late,
        there="",
        last="asked",
        told="either",
        within=LINGER + AT_ONCE,
        outcomes=frozenset({"drained", "rejected"}),
        needs_lifespan=True,
    ),
    "queued": Situation(
        title="being admitted: in the queue",
        visitor=Second,
        there="asked",
        told="refusal",
        outcomes=frozenset({"rejected"}),
        needs_one_worker=True,
    ),
}
"""By name: the path of the source."""

POLITE = ("idle", "sending", "lingering", "goodbye", "held", "dependent", "queued")
"""Those that hold nothing up."""


def fitting(served: Served, names: Sequence[str]) -> tuple[str, ...]:
    """Those of `names` that can be played on a server."""
    return tuple(name for name in names if SITUATIONS[name].reason_against(served) is None)
