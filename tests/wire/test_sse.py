from __future__ import annotations

import copy
import enum
import itertools
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell.errors import ChunkError, ChunkTypeError
from endwell.wire import SSE, Event
from tests.wire.strategies import any_text, cut, tricky_text
from tests.wire.whatwg import Decoder, Message, decode

EVENTS = SSE()
MAX_RETRY = 2_147_483_647


class Name(enum.StrEnum):
    TOKEN = "token"


class Number(enum.IntEnum):
    ONE = 1


class Liar(str):
    """A str whose methods say something else than its text."""

    __slots__ = ()

    def __str__(self) -> str:
        return "a\n\ndata: lie"

    def __contains__(self, _: object) -> bool:
        return False

    def encode(self, *_: Any) -> bytes:
        return b"a\n\ndata: lie"


# -- data ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chunk", "frame"),
    [
        ("hello", "data: hello\n\n"),
        ("", "data: \n\n"),
        ({"token": "é"}, 'data: {"token":"é"}\n\n'),
        (None, "data: null\n\n"),
        ([1, 2.5, True], "data: [1,2.5,true]\n\n"),
        (7, "data: 7\n\n"),
        (Name.TOKEN, "data: token\n\n"),
        (Event("x"), "data: x\n\n"),
        (Event({"a": 1}), 'data: {"a":1}\n\n'),
        (
            Event("x\ny", event="token", id=17, retry=1000, comment="one\ntwo"),
            ": one\n: two\nevent: token\nid: 17\nretry: 1000\ndata: x\ndata: y\n\n",
        ),
        (Event("x", id="", event=""), "event: \nid: \ndata: x\n\n"),
        (Event("x", id=Number.ONE, event=Name.TOKEN), "event: token\nid: 1\ndata: x\n\n"),
        (Event("x", id=-(2**70)), f"id: -{2**70}\ndata: x\n\n"),
        (Event("x", comment=""), ": \ndata: x\n\n"),
    ],
)
def test_a_chunk_is_one_block(chunk: object, frame: str) -> None:
    assert EVENTS.encode(chunk) == frame.encode()


def test_empty_text_reaches_the_listener() -> None:
    assert decode(EVENTS.encode("")) == [Message("")]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_line_end_in_data_comes_back_as_lf(end: str) -> None:
    assert decode(EVENTS.encode(f"a{end}{end}b{end}")) == [Message("a\n\nb\n")]


@pytest.mark.parametrize(
    "text",
    [
        "\u2028",
        "\u2029",
        "\x85",
        "\x0b",
        "\x0c",
        "\x1c",
        " leading",
        "  two",
        "\ufeff",
        "\0",
        ": x",
        "data: x",
        "\x1b[2J",
    ],
)
def test_what_is_no_line_end_survives_unchanged(text: str) -> None:
    stream = EVENTS.encode(text) + EVENTS.encode(f"a{text}b") + EVENTS.encode({text: text})
    first, second, third = decode(stream)
    assert (first.data, second.data, json.loads(third.data)) == (text, f"a{text}b", {text: text})


@pytest.mark.parametrize("data", [b"a", bytearray(b"a"), memoryview(b"a")])
@pytest.mark.parametrize("wrap", [lambda data: data, Event])
def test_bytes_are_refused_and_the_fix_named(wrap: Any, data: object) -> None:
    with pytest.raises(ChunkTypeError, match=rf"^{type(data).__name__} .*decode it, or use ByteStream"):
        EVENTS.encode(wrap(data))


def test_ready_made_json_cannot_break_out_of_its_block() -> None:
    raw = msgspec.Raw(b'{\r\n"a":\r\r1\n\n}')
    (message,) = decode(EVENTS.encode({"raw": raw}))
    assert json.loads(message.data) == {"raw": {"a": 1}}


def test_text_goes_as_it_is_whatever_its_class_says() -> None:
    assert decode(EVENTS.encode(Liar("b\rc"))) == [Message("b\nc")]
    with pytest.raises(ChunkError):
        Event("x", event=Liar("b\rc"))


# -- the fields of an event ----------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["event", "id"])
@pytest.mark.parametrize("char", ["\r", "\n", "\r\n", "\0"])
@pytest.mark.parametrize("text", ["{}", "{}a", "a{}", "a{}b"])
def test_a_line_end_or_nul_in_a_name_or_an_id_is_refused(field: str, char: str, text: str) -> None:
    with pytest.raises(ChunkError, match=f"^{field}: CR, LF or NUL in "):
        Event("x", **{field: text.format(char)})  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["event", "id", "comment"])
def test_a_lone_surrogate_is_refused_where_the_event_is_made(field: str) -> None:
    with pytest.raises(ChunkError, match=f"^{field}: lone surrogate"):
        Event("x", **{field: "a\ud800"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *itertools.product(["event", "comment"], [1, b"a", True, ["a"]]),
        *itertools.product(["id"], [True, False, 1.5, b"a", ["a"]]),
        *itertools.product(["retry"], [True, False, 1.0, "1", b"1", "1\ndata: x"]),
    ],
)
def test_a_field_of_the_wrong_type_is_refused_and_both_are_named(field: str, value: object) -> None:
    with pytest.raises(ChunkTypeError, match=rf"^{field} must be .*, not {type(value).__name__}$"):
        Event("x", **{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("retry", [0, 1, MAX_RETRY, Number.ONE])
def test_a_retry_within_its_bounds_reaches_the_browser(retry: int) -> None:
    decoder = Decoder()
    assert decoder.feed(EVENTS.encode(Event("x", retry=retry))) == [Message("x")]
    assert decoder.reconnection_time == retry


@pytest.mark.parametrize(
    "retry", [-1, MAX_RETRY + 1, 10**30, 10**5000], ids=["-1", "max+1", "10^30", "10^5000"]
)
def test_a_retry_out_of_its_bounds_is_refused_and_they_are_named(retry: int) -> None:
    with pytest.raises(ChunkError, match=f"^retry .* 0 to {MAX_RETRY}"):
        Event("x", retry=retry)


def test_an_id_python_does_not_print_is_refused() -> None:
    with pytest.raises(ChunkError, match=r"^id: .*digits"):
        Event("x", id=10**5000)


def test_an_event_in_an_event_is_refused() -> None:
    with pytest.raises(ChunkTypeError, match="an Event within an Event"):
        Event(Event("x"))


def test_the_message_does_not_repeat_a_huge_value() -> None:
    with pytest.raises(ChunkError) as refused:
        Event("x", id="\n" * 1_000_000)
    assert len(str(refused.value)) < 200


def test_an_event_needs_data_and_names_for_the_rest() -> None:
    with pytest.raises(TypeError):
        Event()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Event("x", "token")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="reply"):
        Event("x", reply=1)  # type: ignore[call-arg]


def test_an_event_is_a_value() -> None:
    event = Event({"a": 1}, event="token", id=1)
    assert event == Event({"a": 1}, event="token", id=1)
    assert event != Event({"a": 1}, event="token", id=2)
    assert repr(event) == "Event(data={'a': 1}, event='token', id=1, retry=None, comment=None)"
    assert copy.deepcopy(event) == event
    assert len({Event("x"), Event("x"), Event("y")}) == 2
    with pytest.raises(AttributeError):
        event.id = 2  # type: ignore[misc]
    assert not hasattr(event, "__dict__")


# -- injection -----------------------------------------------------------------------------------------------
# CVE-2026-33128, CVE-2026-86252 (h3, once by a bare CR), CVE-2026-29085 (Hono; retry: honojs/hono#5299),
# CVE-2026-43968 (cowlib), CVE-2026-44214 (eventsource-encoder), CVE-2026-44217 (sse-channel), CVE-2026-22735
# (Spring): their inputs, through every field.

INJECTIONS = [
    text.replace("\n", end)
    for end in ("\n", "\r", "\r\n")
    for text in (
        "message\nevent: admin\ndata: pwned",
        "abc\ndata: injected\n\nid: next",
        "hi\n\nevent: system\ndata: reset at evil.example\n\n",
        "0\nretry: 1",
        "x\nid: 0",
        "\n\ndata: pwned\n\n",
        "\n",
    )
]


@pytest.mark.parametrize("payload", INJECTIONS)
@pytest.mark.parametrize("field", ["event", "id", "retry"])
def test_an_injection_through_a_field_is_refused(field: str, payload: str) -> None:
    with pytest.raises((ChunkError, ChunkTypeError), match=f"^{field}"):
        Event("x", **{field: payload})  # type: ignore[arg-type]


@pytest.mark.parametrize("payload", INJECTIONS)
@pytest.mark.parametrize(
    "wrap", [lambda text: text, Event, lambda text: {text: text}, lambda text: Event([text], event="chat")]
)
def test_an_injection_through_data_stays_data(wrap: Any, payload: str) -> None:
    decoder = Decoder()
    (message,) = decoder.feed(EVENTS.encode(wrap(payload)))
    assert message.type in {"message", "chat"}
    assert (decoder.last_event_id, decoder.reconnection_time) == ("", None)


@pytest.mark.parametrize("payload", INJECTIONS)
def test_an_injection_through_a_comment_stays_a_comment(payload: str) -> None:
    decoder = Decoder()
    assert decoder.feed(EVENTS.encode(Event("x", comment=payload))) == [Message("x")]
    assert "\n".join(decoder.comments) == as_lf(payload)
    assert (decoder.last_event_id, decoder.reconnection_time) == ("", None)


# -- the heartbeat ------------------------------------------------------------------------------------------


def test_the_heartbeat_is_one_line_and_ends_no_block() -> None:
    assert EVENTS.heartbeat.count(b"\n") == 1
    assert decode(EVENTS.heartbeat * 3) == []


# -- properties ----------------------------------------------------------------------------------------------

name_texts = tricky_text.filter(lambda text: not set(text) & set("\r\n\0"))
events = st.builds(
    Event,
    tricky_text | st.dictionaries(tricky_text, tricky_text),
    event=st.none() | name_texts,
    id=st.none() | name_texts | st.integers(),
    retry=st.none() | st.integers(0, MAX_RETRY),
    comment=st.none() | tricky_text,
)


def as_lf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def as_read(event: Event, message: Message) -> Event:
    """What a client knows of `event` from `message`, in the words of an Event."""
    data = message.data if isinstance(event.data, str) else json.loads(message.data)
    return Event(data, event=message.type, id=message.last_event_id)


def as_meant(event: Event, last_id: str) -> Event:
    """What a client should know of `event`, given the last id before it."""
    data = as_lf(event.data) if isinstance(event.data, str) else event.data
    return Event(data, event=event.event or "message", id=last_id if event.id is None else str(event.id))


@given(sent=st.lists(st.tuples(events, st.integers(0, 2))), data=st.data())
def test_what_is_sent_is_what_a_browser_reads_however_it_is_cut_and_kept_alive(
    sent: list[tuple[Event, int]], data: st.DataObject
) -> None:
    stream = b"".join(EVENTS.heartbeat * beats + EVENTS.encode(event) for event, beats in sent)
    decoder = Decoder()
    messages = [message for piece in data.draw(cut(stream)) for message in decoder.feed(piece)]
    last_id = ""
    for (event, _), message in zip(sent, messages, strict=True):
        expected = as_meant(event, last_id)
        assert as_read(event, message) == expected
        last_id = message.last_event_id
    assert decoder.reconnection_time == next(
        (e.retry for e, _ in reversed(sent) if e.retry is not None), None
    )


@given(events)
def test_a_comment_stands_before_the_data_and_is_whole(event: Event) -> None:
    decoder = Decoder()
    decoder.feed(EVENTS.encode(event))
    assert decoder.comments == ([] if event.comment is None else as_lf(event.comment).split("\n"))


@given(name=any_text, id_=any_text)
def test_a_name_and_an_id_are_carried_whole_or_refused(name: str, id_: str) -> None:
    try:
        frame = EVENTS.encode(Event("x", event=name, id=id_))
    except ChunkError:
        assert any(char in "\r\n\0" or "\ud800" <= char <= "\udfff" for char in name + id_)
    else:
        assert decode(frame) == [Message("x", name or "message", id_)]


@given(any_text)
def test_text_is_carried_whole_or_refused(text: str) -> None:
    try:
        frame = EVENTS.encode(text)
    except ChunkError:
        assert any("\ud800" <= char <= "\udfff" for char in text)
    else:
        assert decode(frame) == [Message(as_lf(text))]
