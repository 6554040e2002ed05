"""Whatever happens to a stream, in whatever order, at whatever await: it ends once, and lets go of all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any

import pytest

from tests.interleaving.campaign import Campaign
from tests.interleaving.schedule import ACTS, FLAVOURS, Schedule
from tests.interleaving.sources import SOURCES, Stage, puppet
from tests.interleaving.space import all_pairs, sample, sample_of_shutdowns
from tests.interleaving.trace import faults, report, shrunk, trace

SAMPLE = 2_000
"""Schedules of each flavour in `make test`."""

LARGE_SAMPLE = 200_000
"""The same in `make prove`, on top of all pairs."""

Record = Callable[[str, object], None]


def prove(schedules: Iterable[Schedule], record_property: Record) -> None:
    campaign = Campaign()
    campaign.play(schedules)
    record_property(
        "schedules",
        {
            "ran": campaign.ran,
            "distinct": campaign.distinct,
            "handles": campaign.handles,
            "failed": len(campaign.failures),
        },
    )
    record_property("outcomes", dict(campaign.outcomes))
    if campaign.failures:
        pytest.fail(campaign.complain(), pytrace=False)


FOUND = {
    "given up before the source's task began": "plain/sse/fresh/puppet/cancel/stop@1,send@0",
    "cancelled before the source's task began": "plain/sse/fresh/listed/cancel/shutdown@2",
    "cancelled twice before the cause was named": "direct/raw/open/deaf/cancel/shutdown@0,block@4,shutdown@2",
    "complete, but a middleware still has the last send": "after/sse/fresh/listed/cancel/",
    "a farewell to somebody who left": "direct/sse/blocked/deaf/grace/stop@10,slow@4",
    "a send held up, and hit by the source's own scope": (
        "after/sse/open/scoped/cancel/chunk@7,end@6,raise@10,cancel@8"
    ),
    "a turn held up, and hit by the source's own scope": (
        "middle/sse/open/scoped/cancel/chunk@7,end@6,raise@10,cancel@8"
    ),
}
"""Schedules that have broken a law."""


@pytest.mark.parametrize("code", FOUND.values(), ids=FOUND)
def test_what_was_found_stays_mended(code: str) -> None:
    assert faults(Schedule.parse(code)) == []


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_order_of_events_is_one_ending(flavour: str, record_property: Record) -> None:
    prove(sample(SAMPLE, [flavour]), record_property)


def test_what_is_owned_is_released_when_every_task_is_cancelled(record_property: Record) -> None:
    prove(sample_of_shutdowns(SAMPLE // 2), record_property)


@pytest.mark.prove
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_order_of_many_more_events_is_one_ending(flavour: str, record_property: Record) -> None:
    prove(sample(LARGE_SAMPLE, [flavour], start=SAMPLE), record_property)


@pytest.mark.prove
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_pair_of_events_at_every_await_is_one_ending(flavour: str, record_property: Record) -> None:
    prove(all_pairs(flavour), record_property)


# -- the proof's own machinery -------------------------------------------------------------------------------


def test_a_code_stands_for_its_schedule() -> None:
    for schedule in sample(200):
        assert Schedule.parse(schedule.code) == schedule


def test_a_schedule_goes_the_same_way_every_time() -> None:
    schedule = Schedule.parse("middle/sse/open/nested/grace/chunk@2,leave@3,stop@0,cancel@4")
    assert trace(schedule) == trace(schedule)


def test_every_act_is_played() -> None:
    assert {name for schedule in sample(300) for name in schedule.names} == set(ACTS)


async def forgetful(stage: Stage) -> AsyncGenerator[str, None]:
    """Forgets a task."""
    _ = asyncio.get_running_loop().create_task(asyncio.Event().wait())
    async for chunk in puppet(stage):
        yield chunk


async def double(stage: Stage) -> AsyncGenerator[str, None]:
    """Lets its resource go twice."""
    stage.own("once")
    stage.released.append("once")
    async for chunk in puppet(stage):
        yield chunk


@pytest.mark.parametrize(("source", "complaint"), [(forgetful, "left behind"), (double, "released")])
def test_a_broken_law_is_noticed_and_told(
    source: Any, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SOURCES, source.__name__, source)
    schedule = Schedule.parse(f"plain/sse/open/{source.__name__}/cancel/chunk@2,leave@quiet")
    assert any(complaint in fault for fault in faults(schedule))
    assert "to play it again" in report(schedule, shrunk(schedule))
