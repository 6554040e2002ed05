"""What the panel shows of each ending: endwell's record of it, with the demo's own clock readings beside it.

Four witnesses tell when something happened, all by this machine's wall clock:

- the browser says when it left (`left`): the moment just before it aborts the request;
- the source says when its work stopped (`working`): the first thing it does once it is interrupted;
- endwell tells of the `Ending` when the last cleanup is over (`ended`), and how long that took since it
  noticed the end;
- the upstream says when it saw its own connection close (`upstream_saw`).

Times are told as milliseconds since the client left, if the browser said so and that is plausible;
otherwise since endwell noticed the end. `since` says which.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

from endwell import Ending, Outcome

REMEMBERED = 100
"""How many endings the panel can show."""
PLAUSIBLE = 1.0
"""Seconds from the browser's leaving to endwell noticing. With more, its clock is not this machine's."""

Milliseconds = float


@dataclass
class Work:
    """One stream, as the demo itself saw it."""

    stream: str
    visit: str
    left_at: float | None = None
    stopped_at: float | None = None
    ending: Ending | None = None
    ended_at: float = 0.0
    upstream: Literal["open", "closed", "finished", "unknown"] | None = None
    upstream_at: float | None = None
    version: int = 0

    def told(self) -> dict[str, Any]:
        """The ending as JSON for the page."""
        assert self.ending is not None
        ending, since = self.ending, self._since(self.ending)
        return {
            "id": self.stream,
            "visit": self.visit,
            "route": ending.route,
            "outcome": ending.outcome.value,
            "cause": ending.cause.value,
            "reason": ending.reason,
            "chunks": ending.chunks,
            "bytes": ending.bytes,
            "seconds": ending.duration,
            "ended_at": self.ended_at,
            "since": "left" if since == self.left_at else "noticed",
            "stopped_ms": _milliseconds(since, self.stopped_at),
            "cleaned_ms": _milliseconds(since, self.ended_at),
            "overdue": ending.overdue,
            "upstream": self.upstream,
            "upstream_ms": _milliseconds(since, self.upstream_at),
        }

    def _since(self, ending: Ending) -> float:
        noticed, left = self.ended_at - ending.cleanup, self.left_at
        is_gone = ending.outcome is Outcome.CLIENT_GONE
        return left if left is not None and is_gone and 0 <= noticed - left <= PLAUSIBLE else noticed


class Ledger:
    """The endings so far, newest last. Every change has a version number, so that readers can catch up."""

    def __init__(self) -> None:
        self._works: dict[str, Work] = {}
        self._visits: dict[str, Work] = {}
        self._ended: deque[Work] = deque()
        self._versions = count(1)

    @contextmanager
    def working(self, stream: str, visit: str) -> Iterator[None]:
        """Note when the work inside stops, however it stops."""
        work = self._works[stream] = self._visits[visit] = Work(stream, visit)
        try:
            yield
        finally:
            work.stopped_at = time.time()

    def left(self, visit: str, at: float) -> None:
        """The browser says that it left at `at`, in seconds since 1970."""
        if (work := self._visits.get(visit)) is not None:
            work.left_at = at
            self._change(work)

    def ended(self, ending: Ending) -> None:
        """Enter an ending; the oldest ones are forgotten."""
        work = self._works.setdefault(ending.id, Work(ending.id, ""))
        work.ending, work.ended_at = ending, time.time()
        self._change(work)
        self._ended.append(work)
        while len(self._ended) > REMEMBERED:
            oldest = self._ended.popleft()
            del self._works[oldest.stream]
            if self._visits.get(oldest.visit) is oldest:
                del self._visits[oldest.visit]

    def upstream_saw(self, stream: str, seen: Any, at: float | None) -> None:
        """The upstream says how the connection of `stream` ended, and when."""
        work = self._works[stream]
        work.upstream, work.upstream_at = seen, at
        self._change(work)

    def since(self, version: int) -> tuple[int, list[dict[str, Any]]]:
        """The newest version, and every ending that changed after `version`."""
        changed = [work for work in self._ended if work.version > version]
        return max((work.version for work in changed), default=version), [work.told() for work in changed]

    def visit_of(self, stream: str) -> str:
        """The page's own name for a stream, or an empty string."""
        return self._works[stream].visit if stream in self._works else ""

    def _change(self, work: Work) -> None:
        work.version = next(self._versions)


def _milliseconds(since: float, until: float | None) -> Milliseconds | None:
    return None if until is None else round(max(0.0, until - since) * 1000, 2)
