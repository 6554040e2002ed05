"""What happens in a server that will be gone when it is asked: lines appended to a file."""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from dataclasses import dataclass
from itertools import chain
from pathlib import Path


class Writer:
    """The server's side, of all its processes; left open until they end."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(self, key: str, what: str, value: str = "") -> None:
        """Append one line; short enough to be written whole."""
        line = json.dumps([time.monotonic_ns(), os.getpid(), key, what, value]) + "\n"
        os.write(self._file, line.encode())


@dataclass(frozen=True, slots=True)
class Entry:
    """One line.

    Attributes:
        at: `time.monotonic_ns()`, which all processes of a machine share.
        process: the id of the process that wrote it.
        key: whose source it is about; "" for the application.
        what: "startup", "closing", "closed" of the application; "asked", "started", "chunk", "cleanup",
            "done", "ending" of a stream.
        value: more of it: an ending's outcome and whether it was overdue.
    """

    at: int
    process: int
    key: str
    what: str
    value: str


class Journal:
    """The reader's side: what has been written up to now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self._entries: dict[str, list[Entry]] = defaultdict(list)

    def entries(self) -> list[Entry]:
        """All there are, in the order in which they were written."""
        self._read()
        return sorted(chain.from_iterable(self._entries.values()), key=lambda entry: entry.at)

    def of(self, key: str) -> list[Entry]:
        """Those about one source; with "", those about the application."""
        self._read()
        return self._entries[key]

    def _read(self) -> None:
        with self._path.open("rb") as file:
            file.seek(self._position)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._position += len(whole) + len(newline)
        for line in whole.splitlines():
            entry = Entry(*json.loads(line))
            self._entries[entry.key].append(entry)
