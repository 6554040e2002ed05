"""What happens, and when: a schedule and its code."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal, TypeAlias

from endwell import Finish, Grace, Policy

QUIET = 1000
"""A gap that lasts until nothing is ready any more; written `quiet`. (A shorter one ends there, too.)"""

TIMES = ("first_chunk", "between_chunks", "send", "total", "hold", "heartbeat", "cleanup")
"""Acts that are deadlines: as much time passes as the policy says, so this one has passed, if it ran."""

ACTS = (
    "leave",  # the client closes the connection
    "cancel",  # the request's task is cancelled from outside
    "stop",
    "drain",
    "chunk",  # the source gives a chunk …
    "end",  # … or ends …
    "raise",  # … or raises
    "block",  # the client does not read any more
    "resume",  # it reads again
    "fail",  # the connection is broken: send raises OSError
    "crash",  # a middleware is: send raises something else
    *TIMES,
    "slow",  # the source's cleanup takes long: until now
    "raising",  # the same, and then it raises
)

SHUTDOWN = "shutdown"
"""One more act, beside those: every task is cancelled, as asyncio.run does with those left at its end. That
cuts short whoever tells of endings, and cleanups that nobody else disturbs; fewer laws hold."""

FLAVOURS = ("plain", "late", "direct", "middle", "after")
"""What stands at the other end; see `server`."""

PRELUDES: dict[str, tuple[str, ...]] = {
    "fresh": (),
    "open": ("chunk",),
    "stalled": ("chunk", "block"),
    "blocked": ("chunk", "block", "chunk"),
}
"""Where the stream is when the acts begin, and by which acts it came there: not begun; open and waiting; the
same, with a client that does not read; in the middle of a blocked send."""

FORMATS = ("sse", "raw")
"""Whether the end can be told in a frame, or the body must be cut."""

MANNERS: dict[str, Literal["cancel"] | Finish | Grace] = {
    "cancel": "cancel",
    "finish": Finish(300),
    "grace": Grace(3),
}
"""What becomes of the source when the client leaves."""

_DURATIONS = (10.0, 23.0, 49.0, 101.0, 203.0)
"""Of the first, second … deadline among the acts, so that they pass in this order; no two sums are alike."""

_CLEANUP = 5.0

Act: TypeAlias = tuple[str, int]
"""What, and after how many handles since the act before."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """One way things can happen.

    Attributes:
        flavour: The server; one of `FLAVOURS`.
        wire: The stream's format; one of `FORMATS`.
        prelude: What was before; one of `PRELUDES`.
        source: One of `sources.SOURCES`.
        manner: What becomes of the source when the client leaves; one of `MANNERS`.
        acts: What happens.
    """

    flavour: str
    wire: str
    prelude: str
    source: str
    manner: str
    acts: tuple[Act, ...]

    @property
    def code(self) -> str:
        """What `Schedule.parse` makes the same schedule of."""
        acts = ",".join(f"{what}@{'quiet' if gap == QUIET else gap}" for what, gap in self.acts)
        where = (self.flavour, self.wire, self.prelude, self.source, self.manner)
        return "/".join([*where, acts])

    @classmethod
    def parse(cls, code: str) -> Schedule:
        """The schedule that a code stands for."""
        flavour, wire, prelude, source, manner, acts = code.strip().split("/")
        pairs = (act.split("@") for act in acts.split(",") if act)
        timed = tuple((what, QUIET if gap == "quiet" else int(gap)) for what, gap in pairs)
        return cls(flavour, wire, prelude, source, manner, timed)

    @property
    def names(self) -> tuple[str, ...]:
        """What happens, without when."""
        return tuple(what for what, _ in self.acts)


def deadlines(acts: tuple[str, ...]) -> tuple[str, ...]:
    """The deadlines among `acts`, each once, in their order."""
    return tuple(dict.fromkeys(what for what in acts if what in TIMES))


@functools.cache
def policy_for(deadlines: tuple[str, ...], manner: str = "cancel") -> Policy:
    """The policy that has these deadlines, which pass in this order, and no others but the cleanup's."""
    durations: dict[str, float] = {}
    for what in deadlines:
        durations[what] = _DURATIONS[len(durations)]
    between, beat = durations.get("between_chunks"), durations.get("heartbeat")
    if between is not None and beat is not None and beat >= between:
        durations["heartbeat"] = between - 2  # as Policy wants it
    others = {"heartbeat": None, "hold": None, "send": None, "cleanup": _CLEANUP, "drain": 10 * _CLEANUP}
    return Policy(**{**others, **durations, "on_leave": MANNERS[manner]})  # type: ignore[arg-type]
