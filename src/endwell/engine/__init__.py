"""Runs one stream, and keeps the streams of one application."""

from ._connection import Connection
from ._current import CurrentStream, Gone, Sent, current_stream
from ._owned import Release, release, releaser
from ._registry import Registry, Snapshot
from ._source import SourceHandle
from ._stream import Stream

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
    "current_stream",
    "release",
    "releaser",
]
