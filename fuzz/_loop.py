"""What the fuzz targets share: random bytes made into chunks, and the loop that makes the bytes.

The loop is plain: seeded, so that a failure can be had again, and bounded by time or by runs. Where atheris
is installed, its coverage-guided engine takes over.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import math
import random
import struct
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "src")]

POOL = 256  # mutants kept to be mutated further
MAX_SIZE = 1024  # bytes
TOKENS = [
    token.encode("utf-8", "surrogatepass")
    for token in [
        *("\n", "\r", "\r\n", "\n\n", "\0", ": ", "data: ", "id: ", "event: ", "retry: 1\n"),
        *"\x85\u2028\u2029\ufeff\ud800\udfff😀",
    ]
]
FLOATS = (math.nan, math.inf, -math.inf, -0.0, 0.1)


class Draw:
    """Random bytes, taken apart into what a check needs; after their end it gives zeros and empty texts."""

    def __init__(self, data: bytes) -> None:
        self._rest = data

    def __bool__(self) -> bool:
        return bool(self._rest)

    def take(self, size: int) -> bytes:
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def number(self, below: int) -> int:
        """An int from 0."""
        return int.from_bytes(self.take(1)) % below

    def real(self) -> float:
        """Any float, NaN and the infinities often."""
        if (special := self.number(2 * len(FLOATS))) < len(FLOATS):
            return FLOATS[special]
        number: float = struct.unpack(">d", self.take(8).ljust(8, b"\0"))[0]
        return number

    def text(self) -> str:
        """Any text, lone surrogates among it."""
        data = self.take(self.number(32))
        with contextlib.suppress(UnicodeDecodeError):
            return data.decode("utf-8", "surrogatepass")
        return data.decode("latin-1")


def sayable(text: str) -> bool:
    """Whether `text` has a form in UTF-8."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def main(check: Callable[[bytes], None]) -> None:
    """Run `check` on random bytes until the time or the runs are over, or until it raises."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--runs", type=int, help="stop after so many, not by time")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        atheris = importlib.import_module("atheris")
    except ImportError:
        _mutate(check, options)
    else:
        bound = f"-runs={options.runs}" if options.runs else f"-max_total_time={math.ceil(options.seconds)}"
        atheris.Setup([sys.argv[0], bound, f"-seed={options.seed}"], atheris.instrument_func(check))
        atheris.Fuzz()


def _mutate(check: Callable[[bytes], None], options: argparse.Namespace) -> None:
    rng = random.Random(options.seed)
    end = time.monotonic() + options.seconds
    pool = [b""]
    runs = 0
    while runs < options.runs if options.runs else time.monotonic() < end:
        data = _mutant(rng, rng.choice(pool))
        runs += 1
        try:
            check(data)
        except Exception:
            print(f"failed at run {runs} of seed {options.seed}, with {data!r}", file=sys.stderr)
            raise
        if len(pool) < POOL:
            pool.append(data)
        else:
            pool[rng.randrange(POOL)] = data
    print(f"{runs} runs of seed {options.seed}: all well")


def _mutant(rng: random.Random, data: bytes) -> bytes:
    for _ in range(rng.randint(1, 8)):
        start, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
        piece = rng.choice([b"", rng.randbytes(rng.randint(1, 16)), rng.choice(TOKENS), data[start:end] * 2])
        data = data[:start] + piece + data[rng.choice([start, end]) :]
    return data[:MAX_SIZE]
