"""The endings as the panel shows them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from demo import ledger as module
from demo.ledger import Ledger
from endwell import Cause, Ending, Outcome, SourceEnd


def an_ending(stream: str, outcome: Outcome = Outcome.CLIENT_GONE, *, cleanup: float = 0.0) -> Ending:
    return Ending(
        id=stream,
        route="/chat",
        owner=None,
        key=None,
        outcome=outcome,
        cause=Cause.DISCONNECT,
        reason=None,
        started=datetime.now(UTC),
        duration=1.0,
        time_to_first_chunk=0.5,
        chunks=3,
        bytes=30,
        heartbeats=0,
        discarded=0,
        source=SourceEnd.CANCELLED,
        on_leave="cancel",
        error=None,
        reference=None,
        cleanup=cleanup,
        overdue=False,
        cleanup_errors=(),
    )


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of day, which the test sets."""
    clock = [1_000.0]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    return clock


def end_of_a_visit(ledger: Ledger, now: list[float], *, outcome: Outcome = Outcome.CLIENT_GONE) -> None:
    """The work stops at 1,000 s, and its cleanup, of 2 ms since endwell noticed, is over at 1,000.001 s."""
    with ledger.working("stream", "visit"):
        pass
    now[0] += 0.001
    ledger.ended(an_ending("stream", outcome, cleanup=0.002))


def test_times_run_from_the_moment_the_browser_left(now: list[float]) -> None:
    ledger = Ledger()
    end_of_a_visit(ledger, now)
    ledger.left("visit", 999.99)
    ledger.upstream_saw("stream", "closed", 1000.002)
    _, (told,) = ledger.since(0)
    assert told["since"] == "left"
    assert (told["stopped_ms"], told["cleaned_ms"], told["upstream_ms"]) == (10.0, 11.0, 12.0)


def test_without_a_browsers_word_times_run_from_the_server_noticing(now: list[float]) -> None:
    ledger = Ledger()
    end_of_a_visit(ledger, now)
    _, (told,) = ledger.since(0)
    assert told["since"] == "noticed"
    assert (told["stopped_ms"], told["cleaned_ms"]) == (1.0, 2.0)


@pytest.mark.parametrize("left_at", [900.0, 1_000.5], ids=["long before", "after it was noticed"])
def test_a_browser_whose_clock_is_another_is_not_believed(now: list[float], left_at: float) -> None:
    ledger = Ledger()
    end_of_a_visit(ledger, now)
    ledger.left("visit", left_at)
    assert ledger.since(0)[1][0]["since"] == "noticed"


def test_only_a_client_that_is_gone_has_left(now: list[float]) -> None:
    ledger = Ledger()
    end_of_a_visit(ledger, now, outcome=Outcome.STOPPED)
    ledger.left("visit", 999.99)
    assert ledger.since(0)[1][0]["since"] == "noticed"


def test_a_reader_gets_each_change_once() -> None:
    ledger = Ledger()
    ledger.ended(an_ending("a"))
    version, told = ledger.since(0)
    assert [ending["id"] for ending in told] == ["a"]
    assert ledger.since(version) == (version, [])
    ledger.upstream_saw("a", "closed", time.time())
    _, changed = ledger.since(version)
    assert [ending["upstream"] for ending in changed] == ["closed"]


def test_what_the_upstream_saw_may_come_before_the_ending() -> None:
    ledger = Ledger()
    with ledger.working("a", "visit"):
        pass
    ledger.upstream_saw("a", "closed", time.time())
    assert ledger.since(0)[1] == []
    ledger.ended(an_ending("a"))
    assert ledger.since(0)[1][0]["upstream"] == "closed"


def test_the_oldest_endings_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    ledger = Ledger()
    for stream in ("a", "b", "c"):
        ledger.ended(an_ending(stream))
    assert [ending["id"] for ending in ledger.since(0)[1]] == ["b", "c"]
