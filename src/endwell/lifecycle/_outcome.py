"""How a stream can end, and why. Both are closed sets: they are labels in logs and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Outcome(StrEnum):
    """How a stream ended."""

    COMPLETED = "completed"
    """The source ended by itself and the server took every byte."""
    CLIENT_GONE = "client_gone"
    """The client left first."""
    STOPPED = "stopped"
    """Somebody asked for the end."""
    FAILED = "failed"
    """The source raised."""
    TIMED_OUT = "timed_out"
    """A deadline of the policy passed: first chunk, between chunks, total."""
    SLOW_CLIENT = "slow_client"
    """The client was there but did not read, or not fast enough."""
    DRAINED = "drained"
    """The process is going away."""
    REJECTED = "rejected"
    """The stream was never admitted."""


class Cause(StrEnum):
    """What ended a stream: the first of these to happen."""

    SOURCE_ENDED = "source_ended"
    SOURCE_RAISED = "source_raised"
    DISCONNECT = "disconnect"
    """The server said that the client is gone."""
    SEND_FAILED = "send_failed"
    """The server's `send` raised OSError or RuntimeError: the client is gone."""
    SEND_CRASHED = "send_crashed"
    """`send` raised anything else: a fault in the server or a middleware."""
    SEND_BLOCKED = "send_blocked"
    """The client took nothing for as long as the policy's `send`."""
    SEND_SLOW = "send_slow"
    """The client took less than the policy's `min_rate`."""
    STOP = "stop"
    SERVER_CANCELLED = "server_cancelled"
    """The task of the request was cancelled, and not because the client left."""
    FIRST_CHUNK = "first_chunk"
    BETWEEN_CHUNKS = "between_chunks"
    TOTAL = "total"
    DRAIN = "drain"
    OVER_TOTAL = "over_total"
    """There were as many streams as there may be."""
    OVER_KEY = "over_key"
    """There were as many streams of its key, such as the client's address, as there may be."""
    MEMORY = "memory"
    """The process has hardly any memory left."""
    DRAINING = "draining"
    """The process was going away when the stream was asked for."""


OUTCOMES: Mapping[Cause, Outcome] = MappingProxyType(
    {
        Cause.SOURCE_ENDED: Outcome.COMPLETED,
        Cause.SOURCE_RAISED: Outcome.FAILED,
        Cause.DISCONNECT: Outcome.CLIENT_GONE,
        Cause.SEND_FAILED: Outcome.CLIENT_GONE,
        Cause.SEND_CRASHED: Outcome.FAILED,
        Cause.SEND_BLOCKED: Outcome.SLOW_CLIENT,
        Cause.SEND_SLOW: Outcome.SLOW_CLIENT,
        Cause.STOP: Outcome.STOPPED,
        Cause.SERVER_CANCELLED: Outcome.STOPPED,
        Cause.FIRST_CHUNK: Outcome.TIMED_OUT,
        Cause.BETWEEN_CHUNKS: Outcome.TIMED_OUT,
        Cause.TOTAL: Outcome.TIMED_OUT,
        Cause.DRAIN: Outcome.DRAINED,
        Cause.OVER_TOTAL: Outcome.REJECTED,
        Cause.OVER_KEY: Outcome.REJECTED,
        Cause.MEMORY: Outcome.REJECTED,
        Cause.DRAINING: Outcome.REJECTED,
    }
)
"""The outcome that each cause leads to."""
