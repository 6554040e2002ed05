"""One line for each ending; an error only where something failed."""

from __future__ import annotations

import logging

import pytest

from endwell import Cause, Ending, Outcome
from endwell.observe import log_ending
from tests.observe.endings import an_ending, failed, raised


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "endwell")
    return caplog


def only_line(log: pytest.LogCaptureFixture) -> logging.LogRecord:
    (record,) = log.records
    return record


class Refused(Exception):
    """What a framework's HTTP error looks like."""

    def __init__(self, status_code: int) -> None:
        self.status_code = status_code
        self.detail = "no"
        self.headers = None


# -- the line ------------------------------------------------------------------------------------------------


def test_a_client_that_leaves_is_one_line_of_information(log: pytest.LogCaptureFixture) -> None:
    log_ending(an_ending())
    record = only_line(log)
    assert (record.name, record.levelname) == ("endwell", "INFO")
    assert record.getMessage() == "client_gone after 42 chunks in 1.500 s (disconnect) [/chat/{room} s1]"
    assert record.exc_info is None


@pytest.mark.parametrize(("chunks", "words"), [(0, "0 chunks"), (1, "1 chunk "), (2, "2 chunks")])
def test_chunks_are_counted_as_one_speaks(chunks: int, words: str, log: pytest.LogCaptureFixture) -> None:
    log_ending(an_ending(chunks=chunks))
    assert f"client_gone after {words}" in only_line(log).getMessage()


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.FAILED])
def test_only_a_failure_is_an_error(outcome: Outcome, log: pytest.LogCaptureFixture) -> None:
    log_ending(an_ending(outcome=outcome))
    assert only_line(log).levelno == logging.INFO
    assert only_line(log).getMessage().startswith(f"{outcome.value} after ")


@pytest.mark.parametrize("cause", Cause)
def test_the_cause_is_named_in_words(cause: Cause, log: pytest.LogCaptureFixture) -> None:
    log_ending(an_ending(cause=cause))
    assert f"({cause.value.replace('_', ' ')})" in only_line(log).getMessage()


def test_reason_and_reference_stand_beside_it(log: pytest.LogCaptureFixture) -> None:
    log_ending(an_ending(outcome=Outcome.STOPPED, cause=Cause.STOP, reason="user", reference="c0ffee"))
    assert "(stop, user, ref c0ffee)" in only_line(log).getMessage()


def test_a_stream_without_a_route_has_a_dash(log: pytest.LogCaptureFixture) -> None:
    log_ending(an_ending(route=""))
    assert only_line(log).getMessage().endswith("[- s1]")


def test_the_whole_ending_travels_with_the_line(log: pytest.LogCaptureFixture) -> None:
    ending = an_ending()
    log_ending(ending)
    assert vars(only_line(log))["ending"] is ending


# -- failures ------------------------------------------------------------------------------------------------


def test_a_failure_is_one_error_with_its_traceback_and_reference(log: pytest.LogCaptureFixture) -> None:
    log_ending(failed(raised(ValueError("no such model"))))
    record = only_line(log)
    assert record.levelname == "ERROR"
    assert "failed after 42 chunks" in record.getMessage()
    assert "ref c0ffee" in record.getMessage()
    assert "no such model" not in record.getMessage()
    assert log.text.count("Traceback (most recent call last)") == 1
    assert "ValueError: no such model" in log.text


def test_a_source_that_refuses_the_request_has_not_failed(log: pytest.LogCaptureFixture) -> None:
    """An HTTPException(404) before the first chunk is an answer as any endpoint may give it."""
    log_ending(failed(raised(Refused(404)), chunks=0, time_to_first_chunk=None))
    assert only_line(log).levelno == logging.INFO
    assert "Traceback" not in log.text


@pytest.mark.parametrize(
    "ending",
    [
        failed(Refused(500), time_to_first_chunk=None),
        failed(Refused(404), time_to_first_chunk=0.1),
        failed(ValueError(), time_to_first_chunk=None),
    ],
    ids=["the server's fault", "in mid-stream", "no HTTP error"],
)
def test_any_other_failure_is_an_error(ending: Ending, log: pytest.LogCaptureFixture) -> None:
    log_ending(ending)
    assert only_line(log).levelno == logging.ERROR


# -- the cleanup ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING])
def test_what_the_cleanup_raised_is_a_warning_each(level: int, log: pytest.LogCaptureFixture) -> None:
    log.set_level(level, "endwell")
    errors = (raised(OSError("first")), raised(OSError("second")))
    log_ending(an_ending(cleanup_errors=errors))
    warnings = [record for record in log.records if record.levelno == logging.WARNING]
    assert [record.getMessage() for record in warnings] == ["cleanup of stream s1 raised"] * 2
    assert [record.exc_info and record.exc_info[1] for record in warnings] == list(errors)
    assert len(log.records) == (3 if level == logging.INFO else 2)


def test_they_do_not_make_a_failure_of_it(log: pytest.LogCaptureFixture) -> None:
    log_ending(an_ending(cleanup_errors=(OSError(),)))
    assert not [record for record in log.records if record.levelno >= logging.ERROR]


# -- quiet loggers -------------------------------------------------------------------------------------------


def test_who_wants_no_information_gets_none(log: pytest.LogCaptureFixture) -> None:
    log.set_level(logging.WARNING, "endwell")
    log_ending(an_ending())
    assert log.records == []


def test_but_failures_all_the_same(log: pytest.LogCaptureFixture) -> None:
    log.set_level(logging.WARNING, "endwell")
    log_ending(failed(raised(ValueError())))
    assert only_line(log).levelno == logging.ERROR
