"""Runs one stream, and keeps the streams of one application."""

from endwell.engine._alone import Alone
from endwell.engine._asker import Asker
from endwell.engine._connection import Connection
from endwell.engine._current import CurrentStream, Draining, Gone, Sent, current_stream
from endwell.engine._gate import Gate, Place, Ticket
from endwell.engine._owned import Release, release_all, releaser
from endwell.engine._pool import DEFAULT_SIZE, Busy
from endwell.engine._refusal import Rejection, reject
from endwell.engine._registry import UNATTENDED, VANISHED, Known, Registry, Snapshot
from endwell.engine._source import SourceHandle
from endwell.engine._stopping import Stopping, StopResult
from endwell.engine._stream import Stream
from endwell.engine._tasks import contained, end, wait_out
from endwell.engine._voice import Refusal, Voice
from endwell.engine._watchdog import Watchdog

__all__ = [
    "DEFAULT_SIZE",
    "UNATTENDED",
    "VANISHED",
    "Alone",
    "Asker",
    "Busy",
    "Connection",
    "CurrentStream",
    "Draining",
    "Gate",
    "Gone",
    "Known",
    "Place",
    "Refusal",
    "Registry",
    "Rejection",
    "Release",
    "Sent",
    "Snapshot",
    "SourceHandle",
    "StopResult",
    "Stopping",
    "Stream",
    "Ticket",
    "Voice",
    "Watchdog",
    "contained",
    "current_stream",
    "end",
    "reject",
    "release_all",
    "releaser",
    "wait_out",
]
