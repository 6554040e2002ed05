"""Ids: unguessable, each given once, by whatever thread or process."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from endwell.engine._ids import new_id


def test_an_id_is_96_bits_in_hexadecimal_digits() -> None:
    assert all(re.fullmatch("[0-9a-f]{24}", new_id()) for _ in range(1000))


def test_no_id_is_given_twice_by_threads_at_the_same_time() -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = [each for ids in pool.map(lambda _: [new_id() for _ in range(2000)], range(8)) for each in ids]
    assert len(set(ids)) == 16_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_gives_others_than_its_parent() -> None:
    new_id()  # some are ready now
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, "".join(new_id() for _ in range(300)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        digits = pipe.read()
    theirs = {digits[at : at + 24] for at in range(0, len(digits), 24)}
    assert len(theirs) == 300
    assert theirs.isdisjoint({new_id() for _ in range(300)})
