"""What is promised for every format, tested on all of them."""

from __future__ import annotations

import pytest

from endwell.errors import ChunkError, ChunkTypeError
from endwell.wire import NDJSON, SSE, Event, Format, Raw

FORMATS: list[Format] = [SSE(), NDJSON(), NDJSON(heartbeat=True), Raw("text/csv")]


@pytest.fixture(params=FORMATS, ids=lambda format_: f"{format_.name}-{format_.heartbeat!r}")
def format_(request: pytest.FixtureRequest) -> Format:
    result: Format = request.param
    return result


@pytest.mark.parametrize(
    ("format_", "name", "media_type", "heartbeat"),
    [
        (SSE(), "sse", "text/event-stream", b": ping\n"),
        (NDJSON(), "ndjson", "application/x-ndjson", None),
        (NDJSON(heartbeat=True), "ndjson", "application/x-ndjson", b"\n"),
        (Raw("text/csv"), "raw", "text/csv", None),
    ],
)
def test_what_a_format_is_called_and_how_it_idles(
    format_: Format, name: str, media_type: str, heartbeat: bytes | None
) -> None:
    assert (format_.name, format_.media_type, format_.heartbeat) == (name, media_type, heartbeat)


def test_a_format_holds_no_state(format_: Format) -> None:
    assert not hasattr(format_, "__dict__")
    assert format_.encode("same") == format_.encode("same")


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_a_lone_surrogate_is_refused_and_its_place_named(format_: Format, text: str) -> None:
    with pytest.raises(ChunkError, match=r"surrogate"):
        format_.encode(text)


def test_an_object_is_refused_and_its_type_named(format_: Format) -> None:
    with pytest.raises(ChunkTypeError, match=r"object"):
        format_.encode(object())


def test_an_event_is_for_sse_alone(format_: Format) -> None:
    if isinstance(format_, SSE):
        assert format_.encode(Event("x")) == b"data: x\n\n"
    else:
        with pytest.raises(ChunkTypeError, match=r"Event"):
            format_.encode(Event("x"))


@pytest.mark.parametrize("size", [64 * 1024, 64 * 1024 * 1024])
def test_a_huge_chunk_is_one_frame_of_its_size(format_: Format, size: int) -> None:
    assert size <= len(format_.encode("x" * size)) <= size + 16


def test_a_huge_chunk_of_lines_is_encoded_in_one_pass() -> None:
    lines = 100_000
    assert SSE().encode("\r\n" * lines).count(b"data: ") == lines + 1
