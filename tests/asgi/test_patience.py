"""A slow reader is not taken for one that has vanished; one that takes nothing is."""

from __future__ import annotations

import contextlib
import socket
import time

import pytest

from endwell.asgi import _hidden, _kernel, _sockets
from endwell.asgi._follower import Follower
from endwell.asgi._patience import Patience, look_every
from endwell.types import Message
from tests.asgi.pairs import Pair, Response, fill, pair, until

VANISHED = 30.0


class Clock:
    """A time that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def watched(ends: Pair, send: float | None = VANISHED) -> tuple[Patience, Clock]:
    """The watch over a connection that has its timeout."""
    clock = Clock()
    patience = Patience(VANISHED, send=send, clock=clock)
    _kernel.set_timeout(ends.server, VANISHED)
    return patience, clock


def timeout_of(ends: Pair) -> float:
    return ends.server.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) / 1000


def full(ends: Pair) -> int:
    """Send until the client's window is closed, and all that fits into it has been acknowledged."""
    sent = fill(ends.server)
    deadline = time.monotonic() + 5
    while ends.server.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)[24]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return sent


def test_a_client_that_keeps_up_keeps_its_timeout() -> None:
    with pair() as ends:
        patience, clock = watched(ends)
        for _ in range(20):
            clock.now += VANISHED
            assert not patience.look(ends.server)
        assert timeout_of(ends) == VANISHED


def test_the_timeout_is_lifted_while_the_window_is_closed_and_put_back() -> None:
    with pair() as ends:
        patience, clock = watched(ends)
        left = full(ends)
        assert not patience.look(ends.server)
        assert timeout_of(ends) == 0
        while left:
            left -= len(ends.client.recv(1 << 20))
        clock.now += VANISHED / 4
        assert not patience.look(ends.server)
        assert timeout_of(ends) == VANISHED


def test_a_reader_that_goes_on_reading_is_never_taken_for_gone() -> None:
    with pair() as ends:
        patience, clock = watched(ends)
        full(ends)
        for _ in range(10):
            clock.now += VANISHED
            assert not patience.look(ends.server)
            ends.client.recv(1 << 18, socket.MSG_WAITALL)
            full(ends)


@pytest.mark.parametrize(
    ("looks", "timeouts"),
    [
        # acked, unacked, unsent at each look
        ([(100, 5, 9), (200, 5, 9), (300, 5, 9)], [0, 0, 0]),  # takes a little all the time
        ([(100, 5, 9), (100, 5, 9), (100, 5, 9)], [0, VANISHED, VANISHED]),  # has stopped acknowledging
        ([(100, 5, 9), (100, 5, 9), (200, 5, 9)], [0, VANISHED, 0]),  # only paused
        ([(100, 0, 9), (100, 0, 9), (100, 0, 9)], [0, 0, 0]),  # has its window closed
        ([(100, 5, 9), (200, 0, 0), (200, 0, 0)], [0, VANISHED, VANISHED]),  # has caught up
    ],
)
def test_whoever_acknowledges_lives_and_what_is_not_acknowledged_is_the_kernels_affair(
    looks: list[tuple[int, int, int]], timeouts: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pair() as ends:
        patience, clock = watched(ends)
        for (acked, unacked, unsent), timeout in zip(looks, timeouts, strict=True):
            seen = _sockets.Progress(acked=acked, unacked=unacked, unsent=unsent)
            monkeypatch.setattr(_sockets, "progress", lambda _, seen=seen: seen)
            clock.now += look_every(VANISHED)
            assert not patience.look(ends.server)
            assert timeout_of(ends) == timeout


@pytest.mark.parametrize(
    ("send", "limit"), [(5, 2 * VANISHED), (VANISHED, 2 * VANISHED), (90, 90 + VANISHED)]
)
def test_one_that_takes_nothing_is_gone_when_the_send_deadline_had_its_chance(
    send: float, limit: float
) -> None:
    with pair() as ends:
        patience, clock = watched(ends, send)
        full(ends)
        assert not patience.look(ends.server)
        clock.now += limit - 1
        assert not patience.look(ends.server)
        clock.now += 1
        assert patience.look(ends.server)


def test_without_a_send_deadline_it_has_all_the_time_in_the_world() -> None:
    with pair() as ends:
        patience, clock = watched(ends, None)
        full(ends)
        for _ in range(10):
            clock.now += 1e6
            assert not patience.look(ends.server)


def test_what_a_finished_stream_leaves_has_its_time_from_then_on() -> None:
    with pair() as ends:
        patience, clock = watched(ends)
        full(ends)
        patience.look(ends.server)
        clock.now += 1000
        patience.end(ends.server)
        assert timeout_of(ends) == 1000 + VANISHED / 4 + 10 * VANISHED


def test_a_stream_that_ends_in_time_leaves_the_timeout_alone() -> None:
    with pair() as ends:
        patience, _ = watched(ends)
        patience.look(ends.server)
        patience.end(ends.server)
        assert timeout_of(ends) == VANISHED


# -- on a loop -----------------------------------------------------------------------------------------------


async def nobody() -> Message:
    raise AssertionError


@pytest.mark.real_time
async def test_every_connection_is_looked_after_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_hidden, "AGE", 0.005)
    monkeypatch.setattr(_hidden, "AT_A_TIME", 2)
    told: list[int] = []
    with pair() as ends, contextlib.ExitStack() as stack:
        _kernel._covered[ends.server.getsockname()[1]] = _kernel._Cover(0.05, inherited=False, at=0)
        for number in range(5):
            follower = Follower(ends.scope(), nobody, Listener(told, number), vanished=0.05, send=0.05)
            stack.enter_context(Response(follower))
        fill(ends.server)
        await until(lambda: sorted(set(told)) == list(range(5)))


class Listener:
    """Notes whose client is gone."""

    gone = False

    def __init__(self, told: list[int], number: int) -> None:
        self.leave = lambda: told.append(number)
