"""What a server shows: the sources and pages a workload asks of every peer alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from benchmarks.event import Token

Source: TypeAlias = Callable[[int], AsyncIterator[Token]]
"""Makes a stream's source from the number in its query string (a length or an id)."""

Page: TypeAlias = Callable[[], bytes]
"""Makes the body of a plain answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The paths of one workload, the same for every peer.

    streams: path -> source. `GET /stream?500` runs the source with 500.
    pages: path -> body of a plain answer, sent with its length.
    heartbeat: seconds of silence after which a stream writes a comment; None leaves the peer's default.
    """

    streams: Mapping[str, Source]
    pages: Mapping[str, Page] = field(default_factory=dict)
    heartbeat: float | None = None
