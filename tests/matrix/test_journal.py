"""What a server writes of its sources is what the measurement reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from matrix.journal import Journal, Writer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An empty journal."""
    path = tmp_path / "journal"
    path.touch()
    return path


def test_a_source_is_followed_from_its_start_to_its_ending(path: Path) -> None:
    with Writer(str(path)) as writer:
        for what, value in (("started", ""), ("chunk", ""), ("chunk", ""), ("cleanup", "CancelledError")):
            writer.note("a", what, value)
        journal = Journal(path)
        record = journal.record("a")
        assert (record.chunks, record.left, record.done, record.ending) == (2, "CancelledError", None, None)
        writer.note("a", "done")
        writer.note("a", "ending", "client_gone: disconnect")
        record = journal.record("a")
    assert record.started is not None
    assert record.done is not None
    assert record.started < record.done
    assert record.ending == "client_gone: disconnect"


def test_sources_are_kept_apart(path: Path) -> None:
    with Writer(str(path)) as writer:
        writer.note("a", "chunk")
        writer.note("b", "chunk")
    assert Journal(path).record("a").chunks == 1


def test_half_a_line_waits_for_its_other_half(path: Path) -> None:
    journal = Journal(path)
    for part, chunks in (('[1, "a", "chu', 0), ('nk", ""]\n[2, "a"', 1), (', "chunk", ""]\n', 2)):
        with path.open("a") as file:
            file.write(part)
        assert journal.record("a").chunks == chunks
