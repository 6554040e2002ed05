"""The ways to be called in time, for so few streams that it proves nothing but that all of them fire."""

from __future__ import annotations

import pytest

from benchmarks import timers


@pytest.mark.parametrize("loop", timers.LOOPS)
@pytest.mark.parametrize("way", timers.WAYS)
def test_each_way_is_measured(way: str, loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TURNS": 1, "ARMED": 100, "BURSTS": 2, "RATE": 200, "SPREAD": 0.05}.items():
        monkeypatch.setattr(timers, name, value)
    cost = timers.measure(loop, timers.WAYS[way], 10)
    assert min(cost[:3]) > 0
    assert cost.bytes > 0
