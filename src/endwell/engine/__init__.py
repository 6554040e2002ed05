"""Runs one stream, and keeps the streams of one application."""

from endwell.engine._asker import Asker
from endwell.engine._connection import Connection
from endwell.engine._current import CurrentStream, Gone, Sent, current_stream
from endwell.engine._owned import Release, release_all, releaser
from endwell.engine._pool import DEFAULT_SIZE, Busy
from endwell.engine._registry import UNATTENDED, VANISHED, Registry, Snapshot
from endwell.engine._source import SourceHandle
from endwell.engine._stream import Stream
from endwell.engine._tasks import contained, end, wait_out
from endwell.engine._watchdog import Watchdog

__all__ = [
    "DEFAULT_SIZE",
    "UNATTENDED",
    "VANISHED",
    "Asker",
    "Busy",
    "Connection",
    "CurrentStream",
    "Gone",
    "Registry",
    "Release",
    "Sent",
    "Snapshot",
    "SourceHandle",
    "Stream",
    "Watchdog",
    "contained",
    "current_stream",
    "end",
    "release_all",
    "releaser",
    "wait_out",
]
