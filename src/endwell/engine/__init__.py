"""Runs one stream, and keeps the streams of one application."""

from endwell.engine._connection import Connection
from endwell.engine._current import CurrentStream, Gone, Sent, current_stream
from endwell.engine._owned import Release, release_all, releaser
from endwell.engine._registry import Registry, Snapshot
from endwell.engine._source import SourceHandle
from endwell.engine._stream import Stream
from endwell.engine._tasks import contained, wait_out

__all__ = [
    "Connection",
    "CurrentStream",
    "Gone",
    "Registry",
    "Release",
    "Sent",
    "Snapshot",
    "SourceHandle",
    "Stream",
    "contained",
    "current_stream",
    "release_all",
    "releaser",
    "wait_out",
]
