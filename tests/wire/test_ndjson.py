from __future__ import annotations

import itertools
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell.errors import ChunkError, ChunkTypeError
from endwell.wire import NDJSON
from tests.wire.strategies import tricky_text

LINES = NDJSON()


def test_a_chunk_is_one_line_of_json() -> None:
    assert LINES.encode({"a": [1, None, "é"]}) == '{"a":[1,null,"é"]}\n'.encode()


def test_text_is_a_document_too() -> None:
    assert LINES.encode("a\nb") == b'"a\\nb"\n'


@pytest.mark.parametrize("chunk", [b"a", bytearray(b"a"), memoryview(b"a")])
def test_bytes_are_refused_and_the_fix_named(chunk: object) -> None:
    with pytest.raises(ChunkTypeError, match=rf"^{type(chunk).__name__} .*decode it, or use ByteStream"):
        LINES.encode(chunk)


@pytest.mark.parametrize("raw", [b'{\n"a": 1}', b"[1,\r2]", b"1\r\n"])
def test_ready_made_json_with_a_line_break_is_refused(raw: bytes) -> None:
    with pytest.raises(ChunkError, match=r"msgspec\.Raw"):
        LINES.encode({"nested": msgspec.Raw(raw)})


@given(
    chunks=st.lists(tricky_text | st.lists(tricky_text) | st.dictionaries(tricky_text, tricky_text)),
    idle=st.booleans(),
)
def test_what_goes_in_comes_out_whoever_splits_the_lines(chunks: list[object], idle: bool) -> None:
    frames = [LINES.encode(chunk) for chunk in chunks]
    if idle:
        frames = list(
            itertools.chain.from_iterable(
                (NDJSON(heartbeat=True).heartbeat or b"", frame) for frame in frames
            )
        )
    stream = b"".join(frames)
    for lines in (stream.split(b"\n"), stream.splitlines(), stream.decode().splitlines()):
        assert [json.loads(line) for line in lines if line] == chunks
