"""Events with ids, by which a reconnect tells how far its stream had come."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell.errors import ChunkError
from endwell.wire import Event, Numbered, marks_the_end
from tests.wire.strategies import any_text, tricky_text
from tests.wire.whatwg import Decoder, Message, decode

TOKEN = "0123456789abcdef01234567"


def test_events_are_counted() -> None:
    numbered = Numbered(TOKEN, None)
    messages = decode(*(numbered.encode(text) for text in ("a", "b", "c")))
    assert [message.last_event_id for message in messages] == [f"{TOKEN}-{n}" for n in (1, 2, 3)]


def test_the_first_alone_names_when_to_come_back() -> None:
    numbered = Numbered(TOKEN, 1500)
    assert numbered.encode("a") == f"retry: 1500\nid: {TOKEN}-1\ndata: a\n\n".encode()
    assert numbered.encode("b") == f"id: {TOKEN}-2\ndata: b\n\n".encode()


def test_an_event_keeps_its_own_id_and_its_own_retry() -> None:
    numbered, decoder = Numbered(TOKEN, 1500), Decoder()
    assert decoder.feed(numbered.encode(Event("a", id="mine", retry=7))) == [
        Message("a", last_event_id="mine")
    ]
    assert decoder.reconnection_time == 7
    assert decoder.feed(numbered.encode("b")) == [Message("b", last_event_id=f"{TOKEN}-2")]


def test_a_chunk_that_cannot_be_sent_takes_no_number() -> None:
    numbered = Numbered(TOKEN, 1500)
    with pytest.raises(ChunkError):
        numbered.encode("\ud800")
    assert numbered.encode("a") == f"retry: 1500\nid: {TOKEN}-1\ndata: a\n\n".encode()


def test_the_end_is_an_event_of_its_own_with_the_count_in_it() -> None:
    numbered = Numbered(TOKEN, None)
    numbered.encode("a")
    (message,) = decode(numbered.end())
    assert (message.type, json.loads(message.data)) == ("end", {"chunks": 1})
    assert message.last_event_id == numbered.end_id
    assert marks_the_end(numbered.end_id)


@given(st.lists(tricky_text))
def test_no_number_marks_the_end(chunks: list[str]) -> None:
    numbered = Numbered(TOKEN, None)
    messages = decode(*map(numbered.encode, chunks))
    assert not any(marks_the_end(message.last_event_id) for message in messages)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "end",
        "-end",
        f"{TOKEN}-end\n",
        f"{TOKEN}-END",
        f"{TOKEN}0-end",
        f"x{TOKEN}-end",
        f"{TOKEN.upper()}-end",
    ],
)
def test_what_is_not_quite_the_end_is_none(said: str) -> None:
    assert not marks_the_end(said)


@given(any_text)
def test_whatever_a_client_says_is_looked_at_without_an_exception(said: str) -> None:
    assert not marks_the_end(said)
