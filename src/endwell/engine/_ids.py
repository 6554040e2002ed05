"""Unguessable ids, in bulk: each call to the system's source of randomness takes longer than a chunk."""

from __future__ import annotations

import os
from collections import deque

_BYTES = 12  # 96 bits
_AT_A_TIME = 256

# Ready ids. It holds nothing of any application; taking one is atomic, so threads may share it.
_ready: deque[str] = deque()


def new_id() -> str:
    """An id of 24 hexadecimal digits, never given before."""
    try:
        return _ready.pop()
    except IndexError:
        digits = os.urandom(_BYTES * _AT_A_TIME).hex()
        _ready.extend(digits[at : at + 2 * _BYTES] for at in range(2 * _BYTES, len(digits), 2 * _BYTES))
        return digits[: 2 * _BYTES]


# A forked child would give the same ones as its parent.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ready.clear)
