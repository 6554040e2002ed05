from __future__ import annotations

import pytest

from endwell.errors import ChunkError, ChunkTypeError, ConfigurationError
from endwell.wire import Raw

RAW = Raw("application/octet-stream")


@pytest.mark.parametrize(
    "chunk", [b"", b"\x00\xff\r\n", bytearray(b"ab"), memoryview(b"ab"), memoryview(b"abcd")[::2]]
)
def test_bytes_go_as_they_are(chunk: bytes | bytearray | memoryview) -> None:
    encoded = RAW.encode(chunk)
    assert type(encoded) is bytes
    assert encoded == bytes(chunk)


def test_text_goes_as_utf8_with_nothing_changed() -> None:
    assert RAW.encode("\ufeffé\r\n\x85\u2028\0") == "\ufeffé\r\n\x85\u2028\0".encode()


def test_a_buffer_changed_afterwards_does_not_change_what_was_encoded() -> None:
    buffer = bytearray(b"before")
    encoded = [RAW.encode(buffer), RAW.encode(memoryview(buffer))]
    buffer[:] = b"after!"
    assert encoded == [b"before", b"before"]


def test_bytes_are_not_copied() -> None:
    chunk = b"x" * 1024
    assert RAW.encode(chunk) is chunk


@pytest.mark.parametrize("chunk", [None, 1, 1.5, True, {"a": 1}, ["a"], [b"a"]])
def test_what_is_no_bytes_and_no_text_is_refused(chunk: object) -> None:
    with pytest.raises(ChunkTypeError, match=rf"^{type(chunk).__name__} .*yield bytes or str"):
        RAW.encode(chunk)


def test_a_released_buffer_is_refused() -> None:
    view = memoryview(b"gone")
    view.release()
    with pytest.raises(ChunkError, match="released"):
        RAW.encode(view)


@pytest.mark.parametrize("media_type", ["", "csv", "text/csv\r\nSet-Cookie: a=b", "text/csv\0", "text/čsv"])
def test_a_media_type_that_is_none_is_refused(media_type: str) -> None:
    with pytest.raises(ConfigurationError, match="media_type"):
        Raw(media_type)
