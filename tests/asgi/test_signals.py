"""Hearing of a shutdown at the signal: chained, put back, never in the way of the server's handler."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from types import FrameType

import pytest

from endwell.asgi import on_shutdown_signal
from tests.engine.scene import Diary, turns

HANDLED = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """What the server's own handlers hear."""
    numbers: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        numbers.append(number)

    before = {number: signal.signal(number, handle) for number in HANDLED}
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", HANDLED)
async def test_a_signal_is_told_to_the_listener_and_to_the_servers_own_handler(
    number: signal.Signals, heard: list[int]
) -> None:
    diary = Diary()
    own = signal.getsignal(number)
    with on_shutdown_signal(lambda: diary("shutdown")):
        signal.raise_signal(number)
        assert heard == [number]
        await turns()
        assert diary.words == ["shutdown"]
    assert signal.getsignal(number) is own
    signal.raise_signal(number)
    await turns()
    assert (heard, diary.words) == ([number, number], ["shutdown"])


async def test_two_applications_in_one_process_both_hear_of_it_and_neither_after_its_end(
    heard: list[int],
) -> None:
    diary = Diary()
    with on_shutdown_signal(lambda: diary("first")):
        with on_shutdown_signal(lambda: diary("second")):
            signal.raise_signal(signal.SIGTERM)
            await turns()
        signal.raise_signal(signal.SIGTERM)
        await turns()
    assert sorted(diary.words) == ["first", "first", "second"]
    assert heard == [signal.SIGTERM] * 2


async def test_two_applications_that_end_in_the_other_order_leave_the_servers_handler_working(
    heard: list[int],
) -> None:
    diary = Diary()
    first, second = ExitStack(), ExitStack()
    first.enter_context(on_shutdown_signal(lambda: diary("first")))
    second.enter_context(on_shutdown_signal(lambda: diary("second")))
    first.close()
    signal.raise_signal(signal.SIGTERM)
    await turns()
    second.close()
    signal.raise_signal(signal.SIGTERM)
    await turns()
    assert diary.words == ["second"]
    assert heard == [signal.SIGTERM] * 2


def test_a_loop_that_is_gone_does_not_keep_the_server_from_its_signal(heard: list[int]) -> None:
    stack = ExitStack()

    async def main() -> None:
        stack.enter_context(on_shutdown_signal(lambda: None))

    with asyncio.Runner() as runner:
        runner.run(main())
    signal.raise_signal(signal.SIGTERM)
    assert heard == [signal.SIGTERM]
    stack.close()


async def test_a_signal_that_has_no_handler_is_left_alone(heard: list[int]) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with on_shutdown_signal(lambda: None):
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler


async def test_in_another_thread_where_no_handler_can_be_set_nothing_happens(heard: list[int]) -> None:
    own = signal.getsignal(signal.SIGTERM)

    def serve() -> None:
        async def main() -> None:
            with on_shutdown_signal(lambda: None):
                assert signal.getsignal(signal.SIGTERM) is own

        asyncio.run(main())

    thread = threading.Thread(target=serve)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert signal.getsignal(signal.SIGTERM) is own
