"""What must have ended a stream, told without the engine: by a model of one that notices everything at once.

Where there was rest between all acts, they came one after the other, and the model's word is exact: the
cause, and the time. Acts that came without rest between them may be noticed in another order, because it
takes the engine some turns to hear of most of them; then any order that can have been noticed is right. What
it is told by a call (stop, drain, a timer) it knows at once: nothing that comes later is noticed before it.
"""

from __future__ import annotations

import functools
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, NamedTuple

from endwell import Cause, Policy
from tests.interleaving.play import Play
from tests.interleaving.schedule import TIMES, Schedule, deadlines, policy_for
from tests.interleaving.sources import ON_STRINGS

_AT_ONCE = frozenset({"stop", "drain", "block", *TIMES})

LEAVES, SENDS, NAMED = "(leaves)", "(sends)", "(named)"
"""What an act leads to, when that comes later: the source is out of its cleanup; the writer has sent what
there is; what cancelled the request's task is found out (at first it only tears a send). The act itself ends
in an ellipsis then."""

_IN_PARTS = {
    **{what: (f"{what}…", NAMED) for what in ("cancel", "shutdown")},
    **{what: (f"{what}…", LEAVES, SENDS) for what in ("end", "raise", "slow", "raising")},
    **{what: (f"{what}…", SENDS) for what in ("chunk", "resume", *TIMES)},
}

_ORDERS = 300
"""Orders that are tried at most."""

CAUSES = {
    "leave": Cause.DISCONNECT,
    "cancel": Cause.SERVER_CANCELLED,
    "shutdown": Cause.SERVER_CANCELLED,
    "stop": Cause.STOP,
    "drain": Cause.DRAIN,
    "raise": Cause.SOURCE_RAISED,
    "raising": Cause.SOURCE_RAISED,
    "fail": Cause.SEND_FAILED,
    "crash": Cause.SEND_CRASHED,
    "first_chunk": Cause.FIRST_CHUNK,
    "between_chunks": Cause.BETWEEN_CHUNKS,
    "send": Cause.SEND_BLOCKED,
    "total": Cause.TOTAL,
}
"""What each act can be the cause of; the end of a source is always one."""


class Verdict(NamedTuple):
    """A cause, and when it came."""

    cause: Cause
    at: float

    def __str__(self) -> str:
        return f"{self.cause} at {self.at}"


class Setting(NamedTuple):
    """What a model has to know besides the acts."""

    source: str
    has_heartbeat: bool
    returns_on_leave: bool
    deadlines: tuple[str, ...]
    waits: frozenset[str]
    carries: bool = False
    """The source's task carries sends that a middleware suspends; that time is not the source's."""


def wrong_ending(play: Play) -> str | None:
    """Say what is wrong with the cause, or its time; None if nothing is."""
    groups = [group for group in play.groups if group]
    if play.endings[0].cause is Cause.DRAINING:
        return None if play.schedule.prelude == "fresh" and groups[0][0] == "drain" else "rejected too late"
    if play.schedule.source not in ON_STRINGS or _is_torn(play.schedule):
        return _implausible(play, groups)
    ending = play.endings[0]
    verdicts: set[Verdict] = set()
    # One that gives a chunk and raises in one go does two things at once.
    is_exact = play.was_restful and play.schedule.source != "talkative"
    orders = _plausible_orders(groups, is_exact=is_exact)
    for order, setting in itertools.product(orders, _settings(play.schedule)):
        for verdict in _verdict(setting, order):
            if verdict.cause is ending.cause and (verdict.at == ending.duration or not is_exact):
                return None
            verdicts.add(verdict)
    if _was_late(play):
        return None
    return f"{ending.cause} at {ending.duration}, not one of {[*map(str, verdicts)]}"


def _is_torn(schedule: Schedule) -> bool:
    """Told to raise twice, it gives a chunk in between, and then ties with what runs from that chunk."""
    return schedule.source == "talkative" and schedule.names.count("raise") > 1


def _implausible(play: Play, groups: Sequence[Sequence[str]]) -> str | None:
    cause = play.endings[0].cause
    happened = {*itertools.chain.from_iterable(groups), *deadlines(play.schedule.names)}
    plausible = {CAUSES.get(what) for what in happened} | {Cause.SOURCE_ENDED}
    if "drain" in happened:
        plausible.add(Cause.SEND_BLOCKED)  # the last bytes may take no longer than a farewell then
    return None if cause in plausible else f"{cause}, of {groups}"


def _was_late(play: Play) -> bool:
    """Whether a send was blocked for too long, because it waited for a turn while the loop was late."""
    takes_turns = play.schedule.flavour in ("late", "middle", "after")
    return takes_turns and play.lagged_to > 0 and play.endings[0].cause is Cause.SEND_BLOCKED


def _settings(schedule: Schedule) -> list[Setting]:
    names = schedule.names
    setting = Setting(
        schedule.source,
        schedule.wire == "sse",
        schedule.flavour not in ("plain", "late"),
        deadlines(names),
        frozenset(names) & {"slow", "raising"},
    )
    may_carry = schedule.flavour in ("middle", "after") and "between_chunks" in names
    return [setting, setting._replace(carries=True)] if may_carry else [setting]


def _plausible_orders(groups: Sequence[Sequence[str]], *, is_exact: bool) -> Iterator[tuple[str, ...]]:
    """First the likely orders; then those in which a send comes later than what it is for."""
    yield from itertools.islice(_in_all_orders(groups), _ORDERS)
    if not is_exact:
        yield from itertools.islice(_in_all_orders([_in_parts(group) for group in groups]), _ORDERS)


def _in_parts(group: Sequence[str]) -> Sequence[str]:
    return [part for what in group for part in _IN_PARTS.get(what, (what,))]


def _in_all_orders(groups: Sequence[Sequence[str]]) -> Iterator[tuple[str, ...]]:
    """Every order in which the acts can be noticed."""
    for parts in itertools.product(*map(_orders, groups)):
        yield tuple(itertools.chain.from_iterable(parts))


def _orders(group: Sequence[str]) -> list[tuple[str, ...]]:
    if not group:
        return [()]
    found = []
    for index, what in enumerate(group):
        if what.startswith("(") and index and group[index - 1].endswith(("…", LEAVES)):
            continue  # not before what it is for
        rest = [*group[:index], *group[index + 1 :]]
        found += [(what, *others) for others in _orders(rest)]
        if what.rstrip("…") in _AT_ONCE:
            break  # nothing that came later is noticed before it
    return found


@functools.lru_cache(maxsize=100_000)
def _verdict(setting: Setting, order: tuple[str, ...]) -> frozenset[Verdict]:
    model = Model(setting)
    for what in order:
        model.happens(what)
        if model.verdicts:
            break
    return frozenset(model.verdicts)


class Model:
    """A stream that notices everything at once.

    Attributes:
        verdicts: What ended it, when something has; several, if it can be the one or the other.
    """

    def __init__(self, setting: Setting) -> None:
        self.verdicts: list[Verdict] = []
        self._setting = setting
        self._policy: Policy = policy_for(setting.deadlines)
        self._waits = set(setting.waits) | ({"for ever"} if setting.source == "stubborn" else set())
        self._now = 0.0
        self._state = "held"
        self._commands: deque[str] = deque()
        self._leaving: str | None = None  # the source is in its own cleanup, after this command
        self._first = False
        self._last_chunk = self._last_write = 0.0
        self._must_open = self._opened = self._frames = self._beats = False
        self._broken: Cause | None = None
        self._drained_at: float | None = None
        self._stalled = self._is_torn = False
        self._acts_later = self._sends_later = False
        self._blocked_since: float | None = None
        self._held_up = ""  # what the blocked send holds

    def happens(self, what: str) -> None:
        """Take note of an act, or of a part of one: see `_IN_PARTS`."""
        self._acts_later = what.endswith("…")
        self._sends_later = self._acts_later or what == LEAVES
        what = what.rstrip("…")
        if what in self._LATER:
            self._LATER[what](self)
        elif what in TIMES:
            self._pass_time(getattr(self._policy, what))
        elif what in ("chunk", "end", "raise"):
            self._commands.append(what)
            self._go_on()
        elif what in ("slow", "raising"):
            self._waits.discard(what)
            self._leave_source()
        else:
            getattr(self, f"_{what.replace('shutdown', 'cancel')}")()

    def _end(self, *causes: Cause) -> None:
        if not self.verdicts:
            self.verdicts = [Verdict(cause, self._now) for cause in causes]

    # -- from outside ------------------------------------------------------------------------------------

    def _leave(self) -> None:
        if self._held_up == "the end":
            self._end(Cause.SOURCE_ENDED)  # every byte was taken
        elif self._state == "flushing" and (self._setting.returns_on_leave or not self._held_up):
            self._end(Cause.DISCONNECT, Cause.SOURCE_ENDED)  # the last sends return, and say nothing of it
        else:
            self._end(Cause.DISCONNECT)

    def _cancel(self) -> None:
        if self._acts_later:
            self._blocked_since, self._held_up, self._is_torn = None, "", True
            return
        self._end(Cause.SERVER_CANCELLED)

    def _stop(self) -> None:
        if self._state != "flushing":
            self._end(Cause.STOP)

    def _drain(self) -> None:
        if self._state != "flushing":
            self._end(Cause.DRAIN)
        elif self._drained_at is None:
            self._drained_at = self._now

    def _block(self) -> None:
        self._stalled = True

    def _resume(self) -> None:
        self._stalled = False
        self._send()

    def _fail(self, cause: Cause = Cause.SEND_FAILED) -> None:
        self._broken = self._broken or cause
        if self._blocked_since is not None:
            self._end(self._broken)

    def _crash(self) -> None:
        self._fail(Cause.SEND_CRASHED)

    # -- the source --------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        while self._commands and self._leaving is None and not self.verdicts:
            what = self._commands.popleft()
            if self._setting.source == "stopper" and what == "end":
                self._stop()
            elif what == "chunk":
                self._chunk()
            else:
                if self._setting.source == "talkative":
                    self._chunk()
                self._leaving = what
                self._leave_source()

    def _chunk(self) -> None:
        self._last_chunk = self._now
        if not self._first:
            self._last_write = self._now
        self._first, self._frames, self._state = True, True, "open"
        self._send()

    def _leave_source(self) -> None:
        if (
            self._leaving is None
            or self._acts_later
            or self._waits
            or self.verdicts
            or self._state == "flushing"
        ):
            return
        if self._leaving == "end" and "raising" not in self._setting.waits:
            self._state = "flushing"
            self._send()
        else:
            self._end(Cause.SOURCE_RAISED)

    # -- the writer --------------------------------------------------------------------------------------

    def _send(self) -> None:
        if self._sends_later or self._is_torn:
            return
        if self._blocked_since is not None and not (self._stalled or self._broken):
            self._blocked_since = None
            self._took(self._held_up)
        while self._blocked_since is None and not self.verdicts and (what := self._next_to_send()):
            if self._broken is not None:
                self._end(self._broken)
            elif self._stalled:
                self._blocked_since, self._held_up = self._now, what
                self._frames = self._beats = False if what != "the start" else self._frames or self._beats
            else:
                self._took(what)

    def _next_to_send(self) -> str:
        anything = self._frames or self._beats
        if not self._opened and (anything or self._must_open or self._state == "flushing"):
            return "the start"
        if anything:
            return "the rest" if self._state == "flushing" else "data"
        return "the end" if self._state == "flushing" else ""

    def _took(self, what: str) -> None:
        self._held_up = ""
        self._last_write = self._now
        if what == "the start":
            self._opened = True
        elif what == "data":
            self._frames = self._beats = False
            self._last_chunk = self._now if self._setting.carries else self._last_chunk
        else:
            self._end(Cause.SOURCE_ENDED)

    # -- time --------------------------------------------------------------------------------------------

    def _pass_time(self, seconds: float) -> None:
        until = self._now + seconds
        while not self.verdicts:
            when, passes = min(self._deadlines(), key=lambda deadline: deadline[0], default=(until + 1, None))
            if when > until or passes is None:
                break
            self._now = when
            passes()
        self._now = until if not self.verdicts else self._now

    def _deadlines(self) -> Iterator[tuple[float, Callable[[], None]]]:
        """Of two at the same time, the first named here comes first."""
        policy = self._policy
        if isinstance(policy.total, float):
            yield policy.total, lambda: self._end(Cause.TOTAL)
        if policy.send is not None and self._blocked_since is not None:
            yield self._blocked_since + policy.send, lambda: self._end(Cause.SEND_BLOCKED)
        if self._drained_at is not None:  # then the last bytes may take no longer than a farewell
            yield self._drained_at + policy.cleanup, lambda: self._end(Cause.SEND_BLOCKED)
        if self._state == "flushing":
            return
        if policy.first_chunk is not None and not self._first:
            yield policy.first_chunk, lambda: self._end(Cause.FIRST_CHUNK)
        is_carrying = self._setting.carries and self._frames
        if policy.between_chunks is not None and self._first and not is_carrying:
            yield self._last_chunk + policy.between_chunks, lambda: self._end(Cause.BETWEEN_CHUNKS)
        if policy.hold is not None and self._state == "held":
            yield policy.hold, self._commit
        beats = policy.heartbeat is not None and self._setting.has_heartbeat and self._state == "open"
        if beats and self._blocked_since is None:
            assert policy.heartbeat is not None
            yield self._last_write + policy.heartbeat, self._beat

    def _commit(self) -> None:
        self._state, self._must_open = "open", True
        self._beat()

    def _beat(self) -> None:
        self._last_write = self._now
        self._beats = self._setting.has_heartbeat and not self._frames
        self._send()

    _LATER: ClassVar[dict[str, Callable[[Model], None]]] = {
        LEAVES: _leave_source,
        SENDS: _send,
        NAMED: _cancel,
    }
