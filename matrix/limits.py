"""The deadlines that are measured, shared by the application and by those who wait for them."""

from __future__ import annotations

from typing import NamedTuple

CLEANUP = 0.001
"""Seconds that a source's awaited cleanup takes; part of every figure."""


class Limits(NamedTuple):
    """Seconds, but for the rates: (bytes, seconds).

    Attributes:
        send: one `send` without progress.
        patient: the same, where a client is stopped for less than this.
        min_rate: below one byte a second times ten, far below 4 kbit/s.
        floor: well above 40 kbit/s.
        vanished: a peer that answers nothing.
    """

    send: float = 4.0
    patient: float = 10.0
    min_rate: tuple[int, float] = (64, 4.0)
    floor: tuple[int, float] = (65536, 4.0)
    vanished: float = 6.0


LIMITS = Limits()
