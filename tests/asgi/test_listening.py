"""Looking after the server's listening socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading

import pytest

from endwell.asgi._listening import LOOK, Listening, Watch, find
from tests.asgi.pairs import listening


def port_of(which: socket.socket) -> int:
    port: int = which.getsockname()[1]
    return port


class Diary(Watch):
    """A watch, and what it said."""

    def __init__(self) -> None:
        self.words: list[str] = []
        super().__init__(lambda: self.words.append("found"), lambda: self.words.append("gone"))


async def test_a_server_that_stops_listening_is_noticed_once() -> None:
    watch = Diary()
    with listening() as accepting:
        watch.go_on(port_of(accepting))
        await asyncio.sleep(10)
        assert watch.words == ["found"]
        assert not watch.is_gone()
    assert watch.is_gone()
    await asyncio.sleep(LOOK + 0.01)
    assert watch.words == ["found", "gone"]
    await asyncio.sleep(10)
    assert watch.words == ["found", "gone"]


async def test_one_of_two_sockets_on_a_port_is_enough() -> None:
    watch = Diary()
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(listening(socket.AF_INET))
        second = stack.enter_context(socket.socket(socket.AF_INET6))
        second.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        second.bind(("::1", port_of(first)))
        second.listen()
        watch.go_on(port_of(first))
        await asyncio.sleep(1)
        first.close()
        await asyncio.sleep(10)
        assert watch.words == ["found"]
    await asyncio.sleep(1)
    assert watch.words == ["found", "gone"]


async def test_two_ports_are_gone_when_both_are() -> None:
    watch = Diary()
    with listening() as first, listening() as second:
        watch.go_on(port_of(first))
        watch.go_on(port_of(second))
        await asyncio.sleep(1)
        first.close()
        await asyncio.sleep(10)
        assert watch.words == ["found"]
        second.close()
        await asyncio.sleep(1)
        assert watch.words == ["found", "gone"]


async def test_a_socket_in_place_of_another_on_the_same_port_is_as_good() -> None:
    watch = Diary()
    with listening() as first:
        port = port_of(first)
        watch.go_on(port)
        await asyncio.sleep(1)
    with listening_at(port):
        await asyncio.sleep(10)
        assert watch.words == ["found"]
    await asyncio.sleep(1)
    assert watch.words == ["found", "gone"]


def listening_at(port: int) -> socket.socket:
    again = socket.socket()
    again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    again.bind(("127.0.0.1", port))
    again.listen()
    return again


async def test_nothing_is_looked_at_while_nobody_needs_it_and_what_happened_is_noticed_afterwards() -> None:
    watch = Diary()
    with listening() as accepting:
        port = port_of(accepting)
        watch.go_on(port)
        await asyncio.sleep(1)
        watch.pause()
    await asyncio.sleep(10)
    assert watch.words == ["found"]
    watch.go_on(port)
    await asyncio.sleep(LOOK + 0.01)
    assert watch.words == ["found", "gone"]


async def test_a_server_on_the_same_port_that_came_meanwhile_is_another_one() -> None:
    watch = Diary()
    with listening() as accepting:
        port = port_of(accepting)
        watch.go_on(port)
        await asyncio.sleep(1)
        watch.pause()
    with listening_at(port):
        watch.go_on(port)
        await asyncio.sleep(10)
        assert watch.words == ["found"]
        watch.pause()


async def test_a_pause_during_the_search_forgets_nothing() -> None:
    watch = Diary()
    with listening() as accepting:
        port = port_of(accepting)
        watch.go_on(port)
        watch.pause()
        await asyncio.sleep(1)
        assert watch.words == ["found"]
        watch.go_on(port)
        await asyncio.sleep(1)
        accepting.close()
        await asyncio.sleep(LOOK - 0.01)
        watch.go_on(port)
        watch.pause()
        await asyncio.sleep(1)
        watch.go_on(port)
        await asyncio.sleep(1)
    assert watch.words == ["found", "gone"]


async def test_where_nothing_listens_in_this_process_nothing_is_ever_noticed() -> None:
    watch = Diary()
    with listening() as accepting:
        port = port_of(accepting)
    watch.go_on(port)
    await asyncio.sleep(10)
    watch.pause()
    watch.go_on(port)
    await asyncio.sleep(10)
    assert watch.words == []
    assert not watch.is_gone()


async def test_a_server_that_stopped_before_the_first_request_came_through_is_noticed() -> None:
    """As a worker of hypercorn's, whose only request is still in a dependency when the end begins."""
    watch = Diary()
    with listening() as accepting:
        port = port_of(accepting)
        watch.note()
        await asyncio.sleep(1)
    watch.go_on(port)
    await asyncio.sleep(1)
    assert watch.words == ["gone"]


async def test_what_listens_elsewhere_is_not_missed_at_the_first_request() -> None:
    """A port that nobody here had: another process's, which speaks through this one."""
    watch = Diary()
    with listening():
        watch.note()
        await asyncio.sleep(1)
    with listening() as accepting:
        port = port_of(accepting)
    watch.go_on(port)
    await asyncio.sleep(10)
    assert watch.words == []


async def test_without_a_thread_to_be_had_it_is_tried_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    watch = Diary()
    with listening() as accepting:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start)
            watch.go_on(port_of(accepting))
        await asyncio.sleep(1)
        assert watch.words == []
        watch.go_on(port_of(accepting))
        await asyncio.sleep(1)
        assert watch.words == ["found"]
        watch.pause()


def test_a_loop_that_is_closed_meanwhile_is_not_told() -> None:
    with listening() as accepting, asyncio.Runner() as runner:

        async def main() -> None:
            Diary().go_on(port_of(accepting))

        runner.run(main())


def test_another_file_with_the_number_of_a_listening_socket_is_not_taken_for_it() -> None:
    with listening() as accepting, socket.socket() as other:
        there = find([port_of(accepting)])
        assert there is not None
        (found,) = there
        descriptor = accepting.fileno()
        assert found.is_there()
        os.dup2(other.fileno(), descriptor)
        assert not found.is_there()
        inode = os.fstat(descriptor).st_ino
        assert not Listening(descriptor, inode).is_there()  # it does not listen
    assert not found.is_there()
