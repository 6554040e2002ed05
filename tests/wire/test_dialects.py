"""The dialects of the terminal frame: their shapes, and that nothing said in them can break out of them."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell.errors import ChunkError
from endwell.wire import (
    AGUI,
    AISDK,
    SSE,
    Anthropic,
    Dialect,
    Generic,
    NDJSONLine,
    OpenAIChat,
    OpenAIResponses,
    Told,
    body_bytes,
)
from tests.wire.strategies import any_text
from tests.wire.whatwg import Decoder, Message, decode

TOLD = Told(code="internal_error", message="It failed.", ref="r1", status=500, chunks=7)

OPENAI_ERROR = {
    "message": "It failed.",
    "type": "server_error",
    "param": None,
    "code": "internal_error",
    "ref": "r1",
}
ANTHROPIC_ERROR = {
    "type": "error",
    "error": {"type": "api_error", "message": "It failed.", "code": "internal_error"},
    "request_id": "r1",
}
GENERIC_ERROR = {"code": "internal_error", "message": "It failed.", "ref": "r1"}

EVENT_STREAMS: list[Dialect] = [
    Generic(),
    OpenAIChat(),
    OpenAIChat(done=True),
    OpenAIResponses(),
    Anthropic(),
    AISDK(),
    AGUI(),
]
DIALECTS = [*EVENT_STREAMS, NDJSONLine()]


def named(dialect: Dialect) -> str:
    return dialect.name


# -- shapes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "event", "data"),
    [
        (Generic(), "error", GENERIC_ERROR),
        (OpenAIChat(), "message", {"error": OPENAI_ERROR}),
        (OpenAIChat(done=True), "message", {"error": OPENAI_ERROR}),
        (OpenAIResponses(), "error", {"type": "error", "error": OPENAI_ERROR, "sequence_number": 7}),
        (Anthropic(), "error", ANTHROPIC_ERROR),
        (AISDK(), "message", {"type": "error", "errorText": "It failed. (ref r1)"}),
        (
            AGUI(),
            "message",
            {
                "type": "RUN_ERROR",
                "message": "It failed.",
                "code": "internal_error",
                "rawEvent": {"ref": "r1"},
            },
        ),
    ],
)
def test_the_frame_is_one_event_of_the_shape_its_clients_raise_on(
    dialect: Dialect, event: str, data: object
) -> None:
    (message,) = decode(dialect.frame(TOLD))
    assert (message.type, json.loads(message.data)) == (event, data)


def test_the_frame_of_ndjson_is_one_line() -> None:
    assert NDJSONLine().frame(TOLD) == (
        b'{"error":{"code":"internal_error","message":"It failed.","ref":"r1"}}\n'
    )


@pytest.mark.parametrize("dialect", [OpenAIChat(), Anthropic()], ids=named)
def test_an_http_error_says_the_same_as_the_frame(dialect: Dialect) -> None:
    (message,) = decode(dialect.frame(TOLD))
    assert dialect.body(TOLD) == json.loads(message.data)


def test_an_http_error_of_the_responses_api_is_that_of_chat_completions() -> None:
    assert OpenAIResponses().body(TOLD) == {"error": OPENAI_ERROR}


@pytest.mark.parametrize("dialect", [Generic(), AISDK(), AGUI(), NDJSONLine()], ids=named)
def test_an_http_error_is_the_generic_object_where_an_api_has_none_of_its_own(dialect: Dialect) -> None:
    assert dialect.body(TOLD) == {"error": GENERIC_ERROR}


def test_only_a_chat_asked_for_it_ends_in_done() -> None:
    done = {(dialect.name, dialect.done) for dialect in DIALECTS if dialect.done}
    assert done == {("openai-chat", b"data: [DONE]\n\n")}


def test_the_text_of_the_ai_sdk_is_the_message_alone_when_there_is_no_reference() -> None:
    (message,) = decode(AISDK().frame(replace(TOLD, ref="")))
    assert json.loads(message.data) == {"type": "error", "errorText": "It failed."}


@pytest.mark.parametrize(
    ("status", "openai", "anthropic"),
    [
        (400, "invalid_request_error", "invalid_request_error"),
        (401, "authentication_error", "authentication_error"),
        (402, "invalid_request_error", "billing_error"),
        (403, "permission_error", "permission_error"),
        (404, "not_found_error", "not_found_error"),
        (409, "invalid_request_error", "conflict_error"),
        (422, "invalid_request_error", "invalid_request_error"),
        (429, "rate_limit_error", "rate_limit_error"),
        (500, "server_error", "api_error"),
        (502, "server_error", "api_error"),
        (503, "server_error", "overloaded_error"),
        (504, "server_error", "timeout_error"),
        (529, "server_error", "overloaded_error"),
        (200, "server_error", "api_error"),
    ],
)
def test_the_status_says_which_type_of_error_it_is(status: int, openai: str, anthropic: str) -> None:
    told = replace(TOLD, status=status)
    as_openai: Any = OpenAIChat().body(told)
    as_anthropic: Any = Anthropic().body(told)
    assert (as_openai["error"]["type"], as_anthropic["error"]["type"]) == (openai, anthropic)


# -- the id and the retry ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", EVENT_STREAMS, ids=named)
def test_an_id_and_a_retry_are_in_the_block_of_the_error(dialect: Dialect) -> None:
    decoder = Decoder()
    (message,) = decoder.feed(dialect.frame(replace(TOLD, id="s-9", retry=1500)))
    (without,) = decode(dialect.frame(TOLD))
    assert message == replace(without, last_event_id="s-9")
    assert decoder.reconnection_time == 1500


def test_ndjson_has_no_place_for_them() -> None:
    assert NDJSONLine().frame(replace(TOLD, id="s-9", retry=1500)) == NDJSONLine().frame(TOLD)


@pytest.mark.parametrize("wrong", [{"retry": -1}, {"id": "a\nb"}])
def test_an_id_or_a_retry_that_cannot_be_sent_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ChunkError):
        Generic().frame(replace(TOLD, **wrong))


def test_an_id_is_joined_to_a_frame_and_read_with_it() -> None:
    frame = SSE.with_id(SSE().encode({"a": 1}), "s-1", 2000)
    assert frame == b'retry: 2000\nid: s-1\ndata: {"a":1}\n\n'
    assert SSE.with_id(b"data: x\n\n", 2) == b"id: 2\ndata: x\n\n"


@given(id_=any_text, retry=st.none() | st.integers())
def test_an_id_and_a_retry_are_joined_whole_or_refused(id_: str, retry: int | None) -> None:
    decoder = Decoder()
    try:
        frame = SSE.with_id(b"data: x\n\n", id_, retry)
    except ChunkError:
        return
    assert decoder.feed(frame) == [Message("x", last_event_id=id_)]
    assert decoder.reconnection_time == retry


# -- what is told --------------------------------------------------------------------------------------------


def test_what_is_told_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        TOLD.code = "other"  # type: ignore[misc]
    assert not hasattr(TOLD, "__dict__")


def test_a_lone_surrogate_is_told_escaped() -> None:
    told = Told(code="c\ud800", message="file \udcff of é", ref="\udfff", status=500)
    assert (told.code, told.message, told.ref) == ("c\\ud800", "file \\udcff of é", "\\udfff")


def escaped(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def texts_in(value: object) -> list[str]:
    """Every text in a JSON document, keys left out."""
    if isinstance(value, dict):
        return [text for item in value.values() for text in texts_in(item)]
    return [value] if isinstance(value, str) else []


tellings = st.builds(
    Told,
    code=any_text,
    message=any_text,
    ref=any_text,
    status=st.integers(100, 599),
    retry=st.none() | st.integers(0, 2_147_483_647),
    chunks=st.integers(0, 2**70),
)


@given(dialect=st.sampled_from(EVENT_STREAMS), told=tellings)
def test_whatever_is_told_it_is_one_event_that_no_splitter_of_lines_breaks(
    dialect: Dialect, told: Told
) -> None:
    frame = dialect.frame(told)
    (message,) = decode(b"data: before\n\n", frame)[1:]
    said = texts_in(json.loads(message.data))
    assert any(escaped(told.message) in text for text in said)
    assert "\n".join(frame.decode().splitlines()) + "\n" == frame.decode()


@given(dialect=st.sampled_from([Generic(), OpenAIChat(), OpenAIResponses(), AGUI()]), told=tellings)
def test_code_message_and_reference_come_back_as_they_were_told(dialect: Dialect, told: Told) -> None:
    (message,) = decode(dialect.frame(told))
    said = texts_in(json.loads(message.data))
    assert {escaped(told.code), escaped(told.message), escaped(told.ref)} <= set(said)


@given(told=tellings)
def test_whatever_is_told_in_ndjson_is_one_line(told: Told) -> None:
    frame = NDJSONLine().frame(told).decode()
    (line,) = frame.splitlines()
    assert frame == line + "\n"
    assert json.loads(line) == {"error": {"code": told.code, "message": told.message, "ref": told.ref}}


@given(dialect=st.sampled_from(DIALECTS), told=tellings)
def test_whatever_is_told_has_an_http_error_too(dialect: Dialect, told: Told) -> None:
    assert told.message in texts_in(json.loads(body_bytes(dialect, told)))
