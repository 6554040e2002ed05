"""Which dialect a response speaks, and dialects of an application's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from endwell.errors import ChunkError, ChunkTypeError, ConfigurationError
from endwell.wire import (
    NDJSON,
    SSE,
    Format,
    OpenAIChat,
    Raw,
    Told,
    at_boundary,
    body_bytes,
    dialect_for,
    frame_bytes,
)

TOLD = Told(code="c", message="m", ref="r", status=500)


@dataclass(frozen=True)
class House:
    """A dialect of an application's own."""

    name: str = "house"
    media_type: str = "text/event-stream"
    done: bytes = b""
    says: Any = b"event: over\ndata: sorry\n\n"

    def frame(self, told: Told) -> Any:
        return self.says

    def body(self, told: Told) -> object:
        return {"sorry": told.message, "says": self.says}


# -- names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["generic", "openai-chat", "openai-responses", "anthropic", "ai-sdk", "ag-ui"]
)
@pytest.mark.parametrize(
    "format_", [SSE(), Raw("text/event-stream"), Raw("Text/Event-Stream; charset=utf-8")]
)
def test_a_name_stands_for_its_dialect(name: str, format_: Format) -> None:
    assert dialect_for(name, format_).name == name


@pytest.mark.parametrize("format_", [NDJSON(), Raw("application/x-ndjson")])
def test_ndjson_has_its_own(format_: Format) -> None:
    assert dialect_for("ndjson", format_).name == "ndjson"


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("openai", "openai-chat"),
        ("antropic", "anthropic"),
        ("aisdk", "ai-sdk"),
        ("", ""),
        ("OpenAI-Chat", ""),
    ],
)
def test_a_name_that_is_none_is_refused_with_the_nearest(wrong: str, nearest: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"no dialect '{wrong}'; did you mean '{nearest}"):
        dialect_for(wrong, SSE())


@pytest.mark.parametrize(
    ("name", "format_"),
    [
        ("ndjson", SSE()),
        ("generic", NDJSON()),
        ("openai-chat", Raw("text/csv")),
        ("ndjson", Raw("text/plain")),
    ],
)
def test_a_dialect_of_another_content_type_is_refused_and_both_are_named(name: str, format_: Format) -> None:
    with pytest.raises(
        ConfigurationError, match=rf"dialect '{name}' is for .*/.*, but .* {format_.media_type}"
    ):
        dialect_for(name, format_)


@pytest.mark.parametrize(("format_", "name"), [(SSE(), "generic"), (NDJSON(), "ndjson")])
def test_a_format_speaks_its_own_dialect_unasked(format_: Format, name: str) -> None:
    assert format_.dialect is not None
    assert format_.dialect.name == name
    assert dialect_for(format_.dialect, format_) is format_.dialect


def test_bytes_as_they_are_have_none_of_their_own() -> None:
    format_: Format = Raw("text/event-stream")
    assert format_.dialect is None


# -- objects -------------------------------------------------------------------------------------------------


def test_an_object_is_taken_as_it_is() -> None:
    chat, house = OpenAIChat(done=True), House()
    assert dialect_for(chat, SSE()) is chat
    assert dialect_for(house, SSE()) is house


def test_a_class_is_refused_with_the_call_to_make() -> None:
    with pytest.raises(ConfigurationError, match=r"OpenAIChat\(\)"):
        dialect_for(OpenAIChat, SSE())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": None}, "name must be str, not NoneType"),
        ({"media_type": b"text/event-stream"}, "media_type must be str, not bytes"),
        ({"done": "data: [DONE]\n\n"}, "done must be bytes, not str"),
    ],
)
def test_a_member_of_a_wrong_type_is_named(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=f"dialect 'House': {words}"):
        dialect_for(House(**wrong), SSE())


@pytest.mark.parametrize("choice", [None, 7, object(), {"error": "x"}])
def test_an_object_that_is_no_dialect_is_refused(choice: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"dialect '{type(choice).__name__}'"):
        dialect_for(choice, SSE())


@pytest.mark.parametrize("method", ["frame", "body"])
def test_a_method_that_is_missing_is_named(method: str) -> None:
    lacking = House()
    object.__setattr__(lacking, method, None)
    with pytest.raises(ConfigurationError, match=rf"'House' has no method {method}"):
        dialect_for(lacking, SSE())


def test_an_object_of_another_content_type_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'house' is for text/event-stream"):
        dialect_for(House(), NDJSON())


# -- what an object gives ------------------------------------------------------------------------------------


def test_what_a_dialect_of_ones_own_says_is_sent_as_it_is() -> None:
    assert frame_bytes(House(), TOLD) == b"event: over\ndata: sorry\n\n"
    assert body_bytes(House(says="x"), TOLD) == b'{"sorry":"m","says":"x"}'


@pytest.mark.parametrize("says", ["text", None, bytearray(b"x")])
def test_a_frame_that_is_no_bytes_is_refused(says: object) -> None:
    with pytest.raises(ChunkTypeError, match=f"'house': frame must give bytes, not {type(says).__name__}"):
        frame_bytes(House(says=says), TOLD)


@pytest.mark.parametrize(("says", "error"), [(object(), ChunkTypeError), (float("nan"), ChunkError)])
def test_a_body_that_has_no_json_is_refused(says: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        body_bytes(House(says=says), TOLD)


# -- where a terminal frame may stand ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tail",
    [
        b"",
        b"\n",
        b"\r\n",
        b"\r",
        b'"}\n\n',
        b"x\r\r",
        b"\r\n\r\n",
        b"\n\r\n",
        b"x\r\r\n",
        b"x\r\n\r",
        b"x\n\r",
    ],
)
def test_an_event_may_follow_a_blank_line(tail: bytes) -> None:
    assert at_boundary(OpenAIChat(), tail)


@pytest.mark.parametrize("tail", [b"data", b"x", b'"}\n', b'"}\r\n', b'"}\r', b"\n\n:", b"\n\nd", b"\n \n"])
def test_no_event_may_follow_a_piece_of_one(tail: bytes) -> None:
    assert not at_boundary(OpenAIChat(), tail)


@pytest.mark.parametrize(("tail", "may"), [(b"", True), (b'"}\n', True), (b'"}\r\n', True), (b'{"a', False)])
def test_a_line_may_follow_a_line(tail: bytes, may: bool) -> None:
    assert at_boundary(dialect_for("ndjson", NDJSON()), tail) is may
