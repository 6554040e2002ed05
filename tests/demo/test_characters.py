"""The database of every Unicode character."""

from __future__ import annotations

import sqlite3
import sys
import unicodedata
from contextlib import closing
from pathlib import Path

import pytest

from demo.characters import connect, count, database


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return database(tmp_path_factory.mktemp("cache"), say=lambda _: None)


def test_every_assigned_character_is_in_it(built: Path) -> None:
    no_character = {"Cn", "Co", "Cs"}
    assigned = sum(
        unicodedata.category(chr(point)) not in no_character for point in range(sys.maxunicode + 1)
    )
    with closing(connect(built)) as connection:
        assert count(connection) == assigned


def test_a_row_tells_about_its_character(built: Path) -> None:
    with closing(connect(built)) as connection:
        row = connection.execute("SELECT * FROM characters WHERE character = 'é'").fetchone()
    assert dict(row) == {
        "code_point": 0xE9,
        "character": "é",
        "name": "LATIN SMALL LETTER E WITH ACUTE",
        "category": "Ll",
        "plane": 0,
        "bidirectional": "L",
        "east_asian_width": "A",
        "decomposition": "0065 0301",
        "lowercase": "é",
        "uppercase": "É",
        "utf8": "c3 a9",
        "utf16": "00e9",
    }


def test_it_is_built_once(built: Path) -> None:
    said: list[str] = []
    assert database(built.parent, say=said.append) == built
    assert said == []


def test_it_can_only_be_read(built: Path) -> None:
    with closing(connect(built)) as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM characters")
