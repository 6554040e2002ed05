"""What an act is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matrix.scene import Scene

BOTH = frozenset({1, 2})


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something that a client does to a stream.

    Attributes:
        title: the row's.
        order: the row's place.
        perform: brings the client to the point and does it; returns when, in monotonic ns. What the client
            goes on doing afterwards, and how it tells whether all is well, it leaves in the scene.
        outcome: what the stream should end as; the table names any other.
        bound: seconds after which it has "never" happened; for one that must be kept, how long it is watched.
        kept: the stream must survive it.
        keeps_socket: only the stream ends; the connection must remain.
        waits: takes seconds: played beside other such acts, and fewer times.
        needs_far: the client is at the far end of a network of our own.
        http: the versions of HTTP that have it, and why the others have not.
    """

    title: str
    order: int
    perform: Callable[[Scene], int]
    outcome: str = "client_gone"
    bound: float = 3.0
    kept: bool = False
    keeps_socket: bool = False
    waits: bool = False
    needs_far: bool = False
    http: frozenset[int] = BOTH
    why_not: str = ""
