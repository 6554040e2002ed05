"""Whatever is sent as NDJSON, a parser reads back. `python fuzz/fuzz_ndjson.py --seconds 5`."""

from __future__ import annotations

from _loop import Draw, main, sayable  # isort: skip  (it makes the next imports possible)

import json
import math
from collections import OrderedDict
from typing import TYPE_CHECKING

from endwell.errors import ChunkError
from endwell.wire import NDJSON

if TYPE_CHECKING:
    from collections.abc import Callable

FORMAT = NDJSON(heartbeat=True)
DEPTH = 6


def check(data: bytes) -> None:
    draw = Draw(data)
    chunks = []
    stream = b""
    while draw:
        chunk = _value(draw, DEPTH)
        try:
            stream += FORMAT.encode(chunk) + b"\n" * draw.number(2)
        except ChunkError:
            assert not _sayable(chunk)
        else:
            assert _sayable(chunk)
            chunks.append(chunk)
    for lines in (stream.split(b"\n"), stream.decode().splitlines()):
        assert [json.loads(line) for line in lines if line] == chunks


def _value(draw: Draw, depth: int) -> object:
    kinds: list[Callable[[], object]] = [
        draw.text,
        draw.real,
        lambda: None,
        lambda: int.from_bytes(draw.take(draw.number(12)), signed=True),
        lambda: bool(draw.number(2)),
        lambda: [_value(draw, depth - 1) for _ in range(draw.number(5))],
        lambda: OrderedDict(_items(draw, depth)),
        lambda: dict(_items(draw, depth)),
    ]
    return kinds[draw.number(len(kinds) if depth else 5)]()


def _items(draw: Draw, depth: int) -> list[tuple[str, object]]:
    return [(draw.text(), _value(draw, depth - 1)) for _ in range(draw.number(5))]


def _sayable(value: object) -> bool:
    if isinstance(value, str):
        return sayable(value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_sayable, [*value.keys(), *value.values()]))
    return all(map(_sayable, value)) if isinstance(value, list) else True


if __name__ == "__main__":
    main(check)
