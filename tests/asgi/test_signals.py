"""Hearing of signals: chained, put back, never in the way of the server's own handler."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from endwell.asgi._signals import Ear

HANDLED = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture(autouse=True)
def _handlers_stay_as_they_were() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in HANDLED}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def server() -> list[int]:
    """What the server's own handlers hear."""
    numbers: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        numbers.append(number)

    for number in HANDLED:
        signal.signal(number, handle)
    return numbers


class Listener(Ear):
    """Remembers what it hears; may hold handlers back, and be gone."""

    def __init__(self, *, holds: bool = False) -> None:
        self.numbers: list[int] = []
        self.holds = holds
        self.gone = False
        super().__init__(self._remember, lambda: self.gone)

    def _remember(self, number: int, below: object) -> bool:
        self.numbers.append(number)
        return self.holds


@pytest.mark.parametrize("number", HANDLED)
def test_a_signal_is_heard_and_the_servers_own_handler_still_runs(
    number: signal.Signals, server: list[int]
) -> None:
    own = signal.getsignal(number)
    ear = Listener()
    assert ear.attach()
    signal.raise_signal(number)
    assert (ear.numbers, server) == ([number], [number])
    ear.detach()
    assert signal.getsignal(number) is own
    signal.raise_signal(number)
    assert (ear.numbers, server) == ([number], [number, number])


def test_who_attaches_twice_hears_once(server: list[int]) -> None:
    ear = Listener()
    assert ear.attach()
    assert ear.attach()
    signal.raise_signal(signal.SIGTERM)
    assert ear.numbers == [signal.SIGTERM]
    ear.detach()
    ear.detach()


@pytest.mark.parametrize("leaves_first", [0, 1])
def test_two_in_one_process_leave_in_any_order(leaves_first: int, server: list[int]) -> None:
    own = signal.getsignal(signal.SIGTERM)
    ears = [Listener(), Listener()]
    for ear in ears:
        ear.attach()
    signal.raise_signal(signal.SIGTERM)
    leaving, staying = ears[leaves_first], ears[1 - leaves_first]
    leaving.detach()
    signal.raise_signal(signal.SIGTERM)
    staying.detach()
    assert signal.getsignal(signal.SIGTERM) is own
    assert (len(leaving.numbers), len(staying.numbers), len(server)) == (1, 2, 2)


def test_a_handler_put_on_top_meanwhile_stays_and_still_reaches_the_servers(server: list[int]) -> None:
    own = signal.getsignal(signal.SIGTERM)
    below, above = Listener(), Listener()
    below.attach()
    between: Any = signal.getsignal(signal.SIGTERM)

    def strangers(number: int, frame: FrameType | None) -> None:
        between(number, frame)

    signal.signal(signal.SIGTERM, strangers)
    above.attach()
    below.detach()
    signal.raise_signal(signal.SIGTERM)
    above.detach()
    assert signal.getsignal(signal.SIGTERM) is strangers
    signal.raise_signal(signal.SIGTERM)
    assert (below.numbers, above.numbers, server) == ([], [signal.SIGTERM], [signal.SIGTERM] * 2)
    signal.signal(signal.SIGTERM, own)


def test_who_is_gone_without_a_word_is_forgotten(server: list[int]) -> None:
    gone, here = Listener(), Listener()
    gone.attach()
    gone.gone = True
    signal.raise_signal(signal.SIGTERM)
    here.attach()
    signal.raise_signal(signal.SIGTERM)
    assert (gone.numbers, here.numbers, len(server)) == ([], [signal.SIGTERM], 2)
    here.detach()
    gone.detach()


def test_a_server_that_puts_its_own_handler_back_first_is_left_alone(server: list[int]) -> None:
    own = signal.getsignal(signal.SIGTERM)
    ear = Listener()
    ear.attach()
    signal.signal(signal.SIGTERM, own)
    ear.detach()
    assert signal.getsignal(signal.SIGTERM) is own


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_a_signal_without_a_handler_is_left_alone(handler: signal.Handlers) -> None:
    for number in HANDLED:
        signal.signal(number, handler)
    ear = Listener()
    assert not ear.attach()
    assert signal.getsignal(signal.SIGTERM) is handler


async def test_in_another_thread_where_no_handler_can_be_set_nothing_happens(server: list[int]) -> None:
    own = signal.getsignal(signal.SIGTERM)
    heard: list[bool] = []

    def serve() -> None:
        ear = Listener()
        heard.append(ear.attach())
        ear.detach()

    thread = threading.Thread(target=serve)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert heard == [False]
    assert signal.getsignal(signal.SIGTERM) is own


# -- handlers of the event loop ------------------------------------------------------------------------------


async def loops_handler_is_called(loop: asyncio.AbstractEventLoop) -> None:
    told = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    own = signal.getsignal(signal.SIGTERM)
    ear = Listener()
    ear.attach()
    signal.raise_signal(signal.SIGTERM)
    await asyncio.wait_for(told.wait(), 5)
    told.clear()
    ear.detach()
    assert signal.getsignal(signal.SIGTERM) == own
    signal.raise_signal(signal.SIGTERM)
    await asyncio.wait_for(told.wait(), 5)
    assert ear.numbers == [signal.SIGTERM]
    assert loop.remove_signal_handler(signal.SIGTERM)


@pytest.mark.real_time(loop="asyncio")
async def test_a_handler_of_asyncio_goes_on_working() -> None:
    await loops_handler_is_called(asyncio.get_running_loop())


@pytest.mark.real_time(loop="uvloop")
async def test_a_handler_of_uvloop_goes_on_working() -> None:
    await loops_handler_is_called(asyncio.get_running_loop())


@pytest.mark.real_time
async def test_a_handler_that_the_loop_has_removed_is_not_put_back() -> None:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, print)
    ear = Listener()
    ear.attach()
    loop.remove_signal_handler(signal.SIGTERM)
    ear.detach()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


# -- holding a signal back -----------------------------------------------------------------------------------


def test_a_signal_that_is_held_back_reaches_the_server_when_it_is_released_once(server: list[int]) -> None:
    ear = Listener(holds=True)
    ear.attach()
    signal.raise_signal(signal.SIGTERM)
    assert server == []
    ear.release()
    ear.release()
    assert server == [signal.SIGTERM]
    ear.detach()


def test_two_may_hold_a_signal_back_and_it_waits_for_both(server: list[int]) -> None:
    ears = [Listener(holds=True), Listener(holds=True)]
    for ear in ears:
        ear.attach()
    signal.raise_signal(signal.SIGTERM)
    ears[0].release()
    assert server == []
    ears[1].detach()
    assert server == [signal.SIGTERM]
    ears[0].detach()


def test_another_signal_that_nobody_holds_back_takes_the_one_that_was_with_it(server: list[int]) -> None:
    ear = Listener(holds=True)
    ear.attach()
    signal.raise_signal(signal.SIGTERM)
    ear.holds = False
    signal.raise_signal(signal.SIGTERM)
    ear.release()
    assert server == [signal.SIGTERM]
    ear.detach()


UNHANDLED = """
import signal, sys
from endwell.asgi._signals import Ear

ear = Ear(lambda number, below: "hold" in sys.argv, lambda: False)
assert ear.attach(unhandled=True)
signal.raise_signal(signal.SIGTERM)
print("alive", flush=True)
if "detach" in sys.argv:
    ear.detach()
    print("forgotten", flush=True)
else:
    ear.release()
print("still alive", flush=True)
signal.raise_signal(signal.SIGTERM)
"""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [((), ""), (("hold",), "alive\n"), (("hold", "detach"), "alive\nforgotten\nstill alive\n")],
    ids=["heard", "held back", "forgotten"],
)
def test_a_signal_that_nobody_handles_ends_the_process_unless_it_is_held_back(
    arguments: tuple[str, ...], said: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNHANDLED, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.returncode) == (said, -signal.SIGTERM), done.stderr
