"""A SQLite database of every Unicode character this Python knows, built once, in about a second."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

CACHE = Path(__file__).resolve().parents[1] / ".cache"

_SCHEMA = """
CREATE TABLE characters (
    code_point INTEGER PRIMARY KEY,
    character TEXT NOT NULL,
    name TEXT NOT NULL,
    category TEXT NOT NULL,
    plane INTEGER NOT NULL,
    bidirectional TEXT NOT NULL,
    east_asian_width TEXT NOT NULL,
    decomposition TEXT NOT NULL,
    lowercase TEXT NOT NULL,
    uppercase TEXT NOT NULL,
    utf8 TEXT NOT NULL,
    utf16 TEXT NOT NULL
)
"""

_NO_CHARACTER = {"Cn", "Co", "Cs"}
"""Categories that name no character: unassigned, private use, and surrogates (which UTF-8 cannot encode)."""

Row = tuple[int | str, ...]


def database(folder: Path = CACHE, *, say: Callable[[str], None] = print) -> Path:
    """The database's path; builds it first if it is not there, telling `say` about it.

    A build that is cut short leaves nothing behind: the file takes its name only when it is whole.
    """
    path = folder / f"characters-{unicodedata.unidata_version}.sqlite3"
    if not path.exists():
        started = time.perf_counter()
        say(f"Building the database of all Unicode {unicodedata.unidata_version} characters …")
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.tmp")
        count = build(unfinished)
        unfinished.replace(path)
        say(f"… {count:,} characters in {time.perf_counter() - started:.1f} s: {path}")
    return path


def build(path: Path) -> int:
    """Write the database to `path` and return how many characters are in it."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        with connection:
            connection.execute(_SCHEMA)
            connection.executemany(
                "INSERT INTO characters VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", characters()
            )
        return count(connection)


def connect(path: Path) -> sqlite3.Connection:
    """Open the database for reading. The connection belongs to the thread that opens it."""
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    return connection


def count(connection: sqlite3.Connection) -> int:
    """How many characters the database holds."""
    (number,) = connection.execute("SELECT count(*) FROM characters").fetchone()
    return int(number)


def characters() -> Iterator[Row]:
    """Every assigned character, in the order of the code points."""
    for code_point in range(sys.maxunicode + 1):
        character = chr(code_point)
        category = unicodedata.category(character)
        if category not in _NO_CHARACTER:
            yield _row(code_point, character, category)


def _row(code_point: int, character: str, category: str) -> Row:
    return (
        code_point,
        character,
        unicodedata.name(character, f"<control-{code_point:04X}>"),
        category,
        code_point >> 16,
        unicodedata.bidirectional(character),
        unicodedata.east_asian_width(character),
        unicodedata.decomposition(character),
        character.lower(),
        character.upper(),
        character.encode().hex(" "),
        character.encode("utf-16-be").hex(" ", 2),
    )
