"""Callbacks: each is told once, where it belongs, and none can harm its neighbours or the event loop."""

from __future__ import annotations

import asyncio
import functools
import logging
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator

import pytest

from endwell import Ending
from endwell.observe import Notifier
from tests.observe.endings import an_ending

DEADLINE = 15.0


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, "endwell")
    return caplog


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """What hangs in a thread waits for this, which comes when the test is over."""
    event = threading.Event()
    yield event
    event.set()


def now() -> float:
    return asyncio.get_running_loop().time()


def lines(log: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in log.records]


class Told:
    """A callback of every kind, which remembers who was told what, and where."""

    def __init__(self) -> None:
        self.endings: list[Ending] = []
        self.threads: list[threading.Thread] = []

    def note(self, ending: Ending) -> None:
        self.endings.append(ending)
        self.threads.append(threading.current_thread())

    async def note_on_the_loop(self, ending: Ending) -> None:
        await asyncio.sleep(1)
        self.note(ending)

    async def __call__(self, ending: Ending) -> None:
        await self.note_on_the_loop(ending)


# -- who is told, and where ----------------------------------------------------------------------------------


async def test_an_async_callback_runs_on_the_loop() -> None:
    told, notifier, ending = Told(), Notifier(DEADLINE), an_ending()
    notifier.tell([told.note_on_the_loop], ending)
    await notifier.settle()
    assert told.endings == [ending]
    assert told.threads == [threading.current_thread()]


async def test_a_sync_callback_runs_in_a_thread() -> None:
    told, notifier, ending = Told(), Notifier(DEADLINE), an_ending()
    notifier.tell([told.note], ending)
    await notifier.settle()
    assert told.endings == [ending]
    assert told.threads != [threading.current_thread()]


@pytest.mark.parametrize("wrap", [lambda told: told, lambda told: functools.partial(told.note_on_the_loop)])
async def test_whatever_can_be_awaited_is_awaited_on_the_loop(wrap: Callable[[Told], Told]) -> None:
    told, notifier = Told(), Notifier(DEADLINE)
    notifier.tell([wrap(told)], an_ending())
    await notifier.settle()
    assert told.threads == [threading.current_thread()]


async def test_a_plain_function_may_return_an_awaitable() -> None:
    told, notifier = Told(), Notifier(DEADLINE)

    def note(ending: Ending) -> Awaitable[None]:
        return told.note_on_the_loop(ending)

    notifier.tell([note], an_ending())
    await notifier.settle()
    assert len(told.endings) == 1


async def test_everybody_is_told_once_of_each_ending() -> None:
    told, notifier = [Told(), Told(), Told()], Notifier(DEADLINE)
    endings = [an_ending(id=str(number)) for number in range(5)]
    for ending in endings:
        notifier.tell([told[0].note, told[1].note_on_the_loop, told[2]], ending)
    await notifier.settle()
    for each in told:
        assert sorted(ending.id for ending in each.endings) == ["0", "1", "2", "3", "4"]


async def test_telling_waits_for_nobody() -> None:
    told, notifier = Told(), Notifier(DEADLINE)
    notifier.tell([told.note, told.note_on_the_loop], an_ending())
    assert told.endings == []
    await notifier.settle()


async def test_callbacks_run_beside_each_other() -> None:
    told, notifier = Told(), Notifier(DEADLINE)
    notifier.tell([told.note_on_the_loop] * 10, an_ending())
    await notifier.settle()
    assert now() == 1


async def test_nobody_to_tell_is_settled_at_once() -> None:
    notifier = Notifier(DEADLINE)
    notifier.tell([], an_ending())
    await notifier.settle()
    assert now() == 0


async def test_settling_waits_for_who_is_told_meanwhile() -> None:
    told, notifier = Told(), Notifier(DEADLINE)

    async def tell_another(ending: Ending) -> None:
        notifier.tell([told], ending)

    notifier.tell([tell_another], an_ending())
    await notifier.settle()
    assert len(told.endings) == 1


async def test_who_stops_waiting_cancels_nobody() -> None:
    told, notifier = Told(), Notifier(DEADLINE)
    notifier.tell([told], an_ending())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(notifier.settle(), 0.5)
    await notifier.settle()
    assert len(told.endings) == 1


# -- who raises ----------------------------------------------------------------------------------------------


async def bad_bill(ending: Ending) -> None:
    raise ValueError("no such account")


def bad_sync_bill(ending: Ending) -> None:
    raise ValueError("no such account")


@pytest.mark.parametrize("bad", [bad_bill, bad_sync_bill])
async def test_one_that_raises_is_logged_and_harms_nobody(
    bad: Callable[[Ending], None], log: pytest.LogCaptureFixture
) -> None:
    told, notifier = Told(), Notifier(DEADLINE)
    notifier.tell([bad, told.note, told.note_on_the_loop], an_ending())
    await notifier.settle()
    assert len(told.endings) == 2
    assert lines(log) == [f"on_end callback {bad.__name__} raised"]
    assert log.records[0].levelno == logging.ERROR
    assert "ValueError: no such account" in log.text


async def test_a_callback_without_a_name_is_named_all_the_same(log: pytest.LogCaptureFixture) -> None:
    notifier = Notifier(DEADLINE)
    notifier.tell([functools.partial(bad_bill)], an_ending())
    await notifier.settle()
    assert "functools.partial(<function bad_bill" in lines(log)[0]


async def thoughtless_bill() -> None:
    """Does not take the ending."""


async def test_one_that_does_not_take_the_ending_is_logged(log: pytest.LogCaptureFixture) -> None:
    notifier = Notifier(DEADLINE)
    notifier.tell([thoughtless_bill], an_ending())  # type: ignore[list-item]
    await notifier.settle()
    assert lines(log) == ["on_end callback thoughtless_bill raised"]


async def exiting_bill(ending: Ending) -> None:
    sys.exit("no such account")


def exiting_sync_bill(ending: Ending) -> None:
    sys.exit("no such account")


@pytest.mark.parametrize("bad", [exiting_bill, exiting_sync_bill])
async def test_one_that_exits_does_not_take_the_server_with_it(
    bad: Callable[[Ending], None], log: pytest.LogCaptureFixture
) -> None:
    told, notifier = Told(), Notifier(DEADLINE)
    notifier.tell([bad, told], an_ending())
    await notifier.settle()
    assert len(told.endings) == 1
    assert lines(log) == [f"on_end callback {bad.__name__} raised"]


async def cancelled_bill(ending: Ending) -> None:
    task = asyncio.ensure_future(asyncio.sleep(60))
    task.cancel()
    await task


async def test_one_that_raises_a_cancellation_of_its_own_is_logged(log: pytest.LogCaptureFixture) -> None:
    notifier = Notifier(DEADLINE)
    notifier.tell([cancelled_bill], an_ending())
    await notifier.settle()
    assert lines(log) == ["on_end callback cancelled_bill raised"]


# -- who hangs -----------------------------------------------------------------------------------------------


async def test_one_that_hangs_is_reported_at_its_deadline(log: pytest.LogCaptureFixture) -> None:
    told, notifier = Told(), Notifier(DEADLINE)

    async def hang(ending: Ending) -> None:
        await asyncio.get_running_loop().create_future()

    notifier.tell([hang, told], an_ending())
    await asyncio.sleep(DEADLINE - 0.001)
    assert len(told.endings) == 1
    assert lines(log) == []
    await notifier.settle()
    assert now() == DEADLINE
    assert log.records[0].levelno == logging.WARNING
    (line,) = lines(log)
    assert line.endswith("hang is overdue after 15 s")


async def test_one_that_hangs_in_a_thread_is_not_waited_for(
    log: pytest.LogCaptureFixture, released: threading.Event
) -> None:
    told, notifier = Told(), Notifier(DEADLINE)

    def hang(ending: Ending) -> None:
        released.wait()

    notifier.tell([hang, told], an_ending())
    await notifier.settle()
    assert now() == DEADLINE
    assert len(told.endings) == 1
    (line,) = lines(log)
    assert line.endswith("hang is overdue after 15 s")
    released.set()


async def test_one_that_is_just_in_time_is_not_overdue(log: pytest.LogCaptureFixture) -> None:
    notifier = Notifier(DEADLINE)

    async def slow(ending: Ending) -> None:
        await asyncio.sleep(DEADLINE - 0.001)

    notifier.tell([slow], an_ending())
    await notifier.settle()
    assert lines(log) == []


async def test_who_waits_for_a_thread_is_told_in_the_end(released: threading.Event) -> None:
    told, notifier = Told(), Notifier(DEADLINE)

    def hang(ending: Ending) -> None:
        released.wait()

    notifier.tell([*[hang] * 20, told.note], an_ending())
    asyncio.get_running_loop().call_later(DEADLINE + 5, released.set)
    await notifier.settle()
    assert len(told.endings) == 1


async def test_an_overdue_callback_is_cancelled_once_and_may_clean_up() -> None:
    cleaned, notifier = [], Notifier(DEADLINE)

    async def polite(ending: Ending) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(1)
            cleaned.append(ending)

    notifier.tell([polite], an_ending())
    await asyncio.sleep(DEADLINE + 2)
    await notifier.settle()
    assert len(cleaned) == 1
