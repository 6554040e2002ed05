"""The judge is judged first: examples from the standard's text, and what it says of the odd cases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.strategies import cut, tricky_text
from tests.wire.whatwg import Decoder, Message, decode


def test_the_example_of_a_stock_ticker_is_one_message() -> None:
    assert decode(b"data: YHOO\ndata: +2\ndata: 10\n\n") == [Message("YHOO\n+2\n10")]


def test_the_example_of_four_blocks() -> None:
    stream = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n"
    decoder = Decoder()
    messages = decoder.feed(stream + b"\n")
    assert messages == [
        Message("first event", last_event_id="1"),
        Message("second event"),
        Message(" third event"),
    ]
    assert decoder.comments == ["test stream"]


def test_the_example_of_empty_data() -> None:
    assert decode(b"data\n\ndata\ndata\n\ndata:") == [Message(""), Message("\n")]


def test_the_example_of_the_optional_space() -> None:
    assert decode(b"data:test\n\ndata: test\n\n") == [Message("test"), Message("test")]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_every_line_end_ends_a_line(end: bytes) -> None:
    assert decode(b"event: a" + end + b"data: b" + end + end) == [Message("b", "a")]


def test_a_cr_ends_its_line_at_once_and_a_later_lf_is_its_second_half() -> None:
    assert decode(b"data: a\r", b"\r", b"\ndata: b\n\n") == [Message("a"), Message("b")]


def test_only_one_bom_at_the_start_is_dropped() -> None:
    assert decode(b"\xef\xbb", b"\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n") == [Message("a")]
    assert decode(b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n") == []


def test_an_id_with_nul_is_ignored_and_the_last_id_stays() -> None:
    assert decode(b"id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n")[1] == Message("b", last_event_id="1")


def test_a_block_without_data_sets_the_last_id_and_dispatches_nothing() -> None:
    decoder = Decoder()
    assert decoder.feed(b"event: lost\nid: 7\n\ndata: a\n\n") == [Message("a", last_event_id="7")]
    assert decoder.last_event_id == "7"


@pytest.mark.parametrize("value", ["", "-1", "1.5", "1e3", " 5", "٣", "1\0"])
def test_a_retry_of_more_than_digits_is_ignored(value: str) -> None:
    decoder = Decoder()
    decoder.feed(f"retry: {value}\n\n".encode())
    assert decoder.reconnection_time is None


def test_unknown_fields_and_broken_utf8_do_no_harm() -> None:
    assert decode(b"Data: no\ndatum: no\ndata: \xff\n\n") == [Message("\ufffd")]


def test_an_unfinished_block_is_never_dispatched() -> None:
    assert decode(b"data: a\n") == []


@given(stream=st.lists(tricky_text | st.just("data: x\r\n")).map("\n".join), data=st.data())
def test_how_a_stream_is_cut_changes_nothing(stream: str, data: st.DataObject) -> None:
    whole = stream.encode()
    assert decode(*data.draw(cut(whole))) == decode(whole)
