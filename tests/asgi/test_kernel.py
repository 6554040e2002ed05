"""What the kernel is told about clients that vanish, and where."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
import time
from collections.abc import Iterator

import pytest

from endwell.asgi import _kernel
from endwell.asgi._follower import Follower
from endwell.asgi._kernel import Options
from endwell.asgi._pump import Pump
from endwell.types import Message, Scope
from tests.asgi.pairs import Pair, Response, connected, listening, pair, until

pytestmark = pytest.mark.real_time


@pytest.fixture(autouse=True)
def _nothing_covered_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kernel, "_covered", {})
    monkeypatch.setattr(_kernel, "_asked", {})
    monkeypatch.setattr(_kernel, "_told", set())


def options_of(which: socket.socket) -> tuple[int, int, int, int] | None:
    """Keepalive's idle time, interval and probes, and the user timeout; None where there is no keepalive."""
    if not which.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE):
        return None
    idle, interval, probes, timeout = (
        which.getsockopt(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
    )
    return idle, interval, probes, timeout


def port_of(which: socket.socket) -> int:
    port: int = which.getsockname()[1]
    return port


@pytest.mark.parametrize(
    ("vanished", "options"),
    [
        (30, Options(15, 5, 3, 30_000)),
        (4, Options(2, 1, 2, 4_000)),
        (1, Options(1, 1, 1, 1_000)),
        (0.5, Options(1, 1, 1, 500)),
        (3600, Options(1800, 600, 3, 3_600_000)),
        (1e9, Options(32_767, 32_767, 127, 2**31 - 1)),
    ],
)
def test_the_options_keep_the_promise(vanished: float, options: Options) -> None:
    assert Options.within(vanished) == options


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_a_servers_sockets_are_told_whenever_they_were_opened(
    family: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "endwell")
    with listening(family) as accepting, listening(family) as another, contextlib.ExitStack() as stack:
        before = connected(accepting)
        stack.enter_context(before.client)
        stack.enter_context(before.server)
        _kernel.cover(port_of(accepting), 30)
        _kernel.cover(port_of(accepting), 30)
        await until(lambda: caplog.messages)
        after = connected(accepting)
        stack.enter_context(after.client)
        stack.enter_context(after.server)
        told = (15, 5, 3, 30_000)
        assert [options_of(each) for each in (accepting, before.server, after.server)] == [told] * 3
        assert [options_of(each) for each in (another, before.client, after.client)] == [None] * 3
        (line,) = caplog.messages
        assert line.startswith(f"port {port_of(accepting)}: clients that vanish are found within 30 s")


@pytest.mark.parametrize("order", [(30, 10), (10, 30)])
async def test_of_two_promises_on_one_port_the_smaller_wins(
    order: tuple[float, float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "endwell")
    with listening() as accepting:
        for vanished in order:
            before = options_of(accepting)
            _kernel.cover(port_of(accepting), vanished)
            if vanished == min(order):
                await until(lambda before=before: options_of(accepting) != before)  # type: ignore[misc]
        await until(lambda: options_of(accepting) == (5, 1, 5, 10_000))


async def test_what_the_operator_has_set_lower_stays() -> None:
    with listening() as accepting:
        accepting.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 7_000)
        _kernel.cover(port_of(accepting), 30)
        await until(lambda: options_of(accepting) == (15, 5, 3, 7_000))


async def test_a_port_that_is_not_served_here_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    """As in a test client's scope."""
    caplog.set_level(logging.INFO, "endwell")
    _kernel.cover(7, 30)
    await until(lambda: not _kernel._covered[7].inherited)
    assert caplog.messages == []


async def test_a_listening_socket_in_another_process_is_said_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "endwell")
    with pair() as ends:
        _kernel.cover(port_of(ends.server), 30)
        await until(lambda: caplog.messages)
        assert "the listening socket is not in this process" in caplog.text
        assert options_of(ends.server) == (15, 5, 3, 30_000)


async def test_another_system_is_said_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    _kernel.cover(7, 30)
    _kernel.cover(8, 30)
    assert caplog.messages == ["clients that vanish are not found: only on Linux can the kernel be told to"]


# -- while a stream lives ------------------------------------------------------------------------------------


async def nobody() -> Message:
    raise AssertionError


@contextlib.contextmanager
def attended(ends: Pair, vanished: float | None, **more: object) -> Iterator[None]:
    follower = Follower({**ends.scope(), **more}, nobody, Pump(nobody), vanished=vanished, send=30)
    with Response(follower):
        yield


async def test_a_listening_socket_that_was_opened_anew_is_found_by_its_streams(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with listening() as accepting:
        port = port_of(accepting)
        _kernel.cover(port, 30)
        await until(lambda: options_of(accepting))
    monkeypatch.setattr(_kernel, "AGAIN", 0)
    with socket.create_server(("127.0.0.1", port)) as again:
        ends = connected(again)
        with ends.client, ends.server, attended(ends, 30):
            await until(lambda: options_of(ends.server) and options_of(again))


async def test_what_has_not_inherited_the_options_is_found_when_it_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of many that begin at once, one is asked at once."""
    with pair() as first, pair() as second:
        for ends in (first, second):
            port = port_of(ends.server)
            monkeypatch.setitem(
                _kernel._covered, port, _kernel._Cover(0.4, inherited=True, at=time.monotonic())
            )
            monkeypatch.setitem(_kernel._asked, port, time.monotonic())
        assert not _kernel.is_to_be_asked(port_of(first.server))
        with attended(first, 0.4), attended(second, 0.4):
            await until(lambda: options_of(first.server) and options_of(second.server))


@pytest.mark.parametrize(
    ("vanished", "more"), [(None, {}), (30, {"server": ("/run/app.sock", None)}), (30, {"server": None})]
)
async def test_without_a_promise_or_a_port_nothing_is_done(
    vanished: float | None, more: Scope, caplog: pytest.LogCaptureFixture
) -> None:
    with pair() as ends, attended(ends, vanished, **more):
        await asyncio.sleep(0.3)
        assert options_of(ends.server) is None
    assert _kernel._covered == {}
    assert caplog.messages == []
