"""What is decided of a response before it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from endwell.asgi._admit import Entry
from endwell.engine import Gate, Registry, Release, SourceHandle
from endwell.observe import Callback
from endwell.settings import Policy
from endwell.wire import Dialect, Format


@dataclass(slots=True)
class Plan:
    """All that is decided of a streaming response before its request's `send` is known.

    Attributes:
        source: The source, taken over.
        format: How chunks become bytes.
        status: The HTTP status.
        headers: The headers, ready for ASGI; others may share them.
        policy: Its durations.
        route: The route's template, for the ending.
        owns: What releases its resources, in the order they were given.
        callbacks: Told of the ending.
        registry: The application's streams; None for a stream on its own.
        dialect: How the client is told of an end that is none; None for the format's own.
        resumable: Number the events, and answer who has seen the end with 204.
        owner: Who may stop it, besides the application.
        gates: Who has to let it in.
        request: The Starlette request, if the gates want to know it.
        entry: It has been at the gates already.
    """

    source: SourceHandle
    format: Format
    status: int
    headers: Sequence[tuple[bytes, bytes]]
    policy: Policy
    route: str
    owns: Sequence[Release]
    callbacks: Sequence[Callback]
    registry: Registry | None
    dialect: Dialect | None = None
    resumable: bool = False
    owner: object = None
    gates: Sequence[Gate] = ()
    request: Any = None
    entry: Entry | None = None
