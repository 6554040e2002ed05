"""The event every peer sends: one token of a language model, 107 bytes on the wire.

That is `data: `, the token by `json.dumps`, and the two line feeds; HTTP's chunk header comes on top.
A peer that writes JSON without spaces after its separators sends 100 bytes for it, and that is its merit.
"""

from __future__ import annotations

from typing import TypeAlias

Token: TypeAlias = dict[str, str | int | None]

FIRST_INDEX = 100_000  # six digits for the first 900,000 events, so that every frame has the same length


def token(index: int) -> Token:
    """Return a fresh event, number `index` of its stream, counted from 0."""
    return {
        "id": "chatcmpl-8f14e45fceea167a5",
        "index": FIRST_INDEX + index,
        "token": " streaming",
        "finish_reason": None,
    }
