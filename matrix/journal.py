"""What happens to the sources, from the server to the one who measures: lines appended to a file.

A file and not a request: asking the server would wake it, and a server that is stuck could not answer.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Writer:
    """The server's side; it may be left open until the process ends."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def note(self, key: str, what: str, value: str = "") -> None:
        """Append one line; short enough to be written whole."""
        line = json.dumps([time.monotonic_ns(), key, what, value]) + "\n"
        os.write(self._file, line.encode())


@dataclass
class Record:
    """One source. Times are `time.monotonic_ns()`, which all processes of a machine share.

    Attributes:
        started: the source has begun.
        chunk: when it last yielded; chunks: how often.
        left: what went through it, by name; cleanup: when its `finally` was entered, done: when it was over.
        ending: the outcome and the cause that `on_end` was told.
    """

    started: int | None = None
    chunk: int | None = None
    chunks: int = 0
    left: str = ""
    cleanup: int | None = None
    done: int | None = None
    ending: str | None = None

    def take(self, at: int, what: str, value: str) -> None:
        """Add what one line says."""
        if what == "ending":
            self.ending = value
            return
        setattr(self, what, at)
        if what == "chunk":
            self.chunks += 1
        elif what == "cleanup":
            self.left = value


@dataclass
class Journal:
    """The reader's side; threads may share it."""

    path: Path
    _records: dict[str, Record] = field(default_factory=lambda: defaultdict(Record))
    _position: int = 0
    _rest: bytes = b""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def record(self, key: str) -> Record:
        """What is known by now of the source of `key`."""
        with self._lock:
            self._read()
            return self._records[key]

    def _read(self) -> None:
        with self.path.open("rb") as file:
            file.seek(self._position)
            new = file.read()
        self._position += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        for line in lines:
            entry: list[Any] = json.loads(line)
            at, key, what, value = entry
            self._records[key].take(at, what, value)
