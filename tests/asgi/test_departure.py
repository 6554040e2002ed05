"""Learning that the process goes away: by which sign, when, and how often."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import FrameType

import pytest

from endwell.asgi._departure import FLUSH, SAME_EVENT, Departure
from endwell.lifecycle import LAST
from endwell.types import Scope
from tests.asgi.pairs import listening
from tests.engine.scene import turns

TERM, INT = signal.SIGTERM, signal.SIGINT
NOWHERE: Scope = {"type": "http", "server": None}
"""Of a server that does not say where it listens."""


@pytest.fixture(autouse=True)
def server() -> Iterator[list[int]]:
    """What the server's own handlers hear."""
    numbers: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        numbers.append(number)

    before = {number: signal.signal(number, handle) for number in (TERM, INT)}
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


class Diary(Departure):
    """A departure, and what it said."""

    def __init__(self, **options: float) -> None:
        self.words: list[str] = []
        super().__init__(
            lambda: self.words.append("begins"),
            lambda: self.words.append("again"),
            clock=lambda: asyncio.get_running_loop().time(),
            **options,
        )


def scope_of(accepting: socket.socket) -> Scope:
    return {"type": "http", "server": accepting.getsockname()[:2]}


# -- signals -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [TERM, INT])
async def test_it_begins_at_a_signal_and_the_server_hears_it_too(number: int, server: list[int]) -> None:
    departure = Diary()
    own = signal.getsignal(number)
    with departure.watching():
        signal.raise_signal(number)
        assert server == [number]
        assert departure.words == []  # on the loop, not in the handler
        await turns()
        assert departure.words == ["begins"]
    assert signal.getsignal(number) is own
    signal.raise_signal(number)
    await turns()
    assert departure.words == ["begins"]


@pytest.mark.parametrize(
    ("first", "then", "after", "insists"),
    [
        pytest.param(TERM, TERM, SAME_EVENT - 0.1, False, id="systemd, then the supervisor"),
        pytest.param(INT, TERM, SAME_EVENT - 0.1, False, id="the terminal, then the supervisor"),
        pytest.param(TERM, INT, SAME_EVENT - 0.1, False, id="by two ways"),
        pytest.param(INT, INT, 0.1, True, id="Ctrl-C twice"),
        pytest.param(TERM, TERM, SAME_EVENT, True, id="SIGTERM again"),
        pytest.param(INT, TERM, SAME_EVENT, True, id="SIGTERM after Ctrl-C"),
    ],
)
async def test_a_second_signal_is_insisting_unless_it_is_the_first_one_by_another_way(
    first: int, then: int, after: float, insists: bool, server: list[int]
) -> None:
    departure = Diary()
    with departure.watching():
        signal.raise_signal(first)
        await asyncio.sleep(after)
        signal.raise_signal(then)
        await turns()
        assert departure.words == ["begins", "again"] if insists else ["begins"]
        assert server == [first, then]


async def test_each_is_told_once(server: list[int]) -> None:
    departure = Diary()
    with departure.watching():
        for _ in range(5):
            signal.raise_signal(TERM)
            await asyncio.sleep(2)
    assert departure.words == ["begins", "again"]
    assert len(server) == 5


async def test_a_new_life_knows_nothing_of_the_one_before() -> None:
    departure = Diary()
    for _ in range(2):
        with departure.watching():
            signal.raise_signal(TERM)
            await turns()
    assert departure.words == ["begins", "begins"]


async def test_two_applications_in_one_process_both_learn_of_it_and_neither_after_its_end() -> None:
    first, second = Diary(), Diary()
    with first.watching():
        with second.watching():
            signal.raise_signal(TERM)
            await turns()
        await asyncio.sleep(2)
        signal.raise_signal(TERM)
        await turns()
    assert first.words == ["begins", "again"]
    assert second.words == ["begins"]


def test_a_loop_that_is_gone_does_not_keep_the_server_from_its_signal(server: list[int]) -> None:
    departure = Diary()
    watching = departure.watching()

    async def main() -> None:
        watching.__enter__()  # and nobody leaves it

    asyncio.run(main())
    signal.raise_signal(TERM)
    assert (departure.words, server) == ([], [TERM])
    watching.__exit__(None, None, None)


# -- the listening socket ------------------------------------------------------------------------------------


async def test_it_begins_when_the_server_stops_listening_while_streams_live() -> None:
    departure = Diary()
    with departure.watching(), listening() as accepting:
        departure.serving(scope_of(accepting))
        departure.serving(scope_of(accepting))
        await asyncio.sleep(10)
        assert departure.words == []
        accepting.close()
        await asyncio.sleep(1)
        assert departure.words == ["begins"]
        departure.serving(NOWHERE)
        await asyncio.sleep(10)
        signal.raise_signal(TERM)  # what was seen is heard of too: nobody insists
        await turns()
        assert departure.words == ["begins"]


async def test_nothing_is_looked_at_between_the_last_stream_and_the_next() -> None:
    departure = Diary()
    with departure.watching(), listening() as accepting:
        scope = scope_of(accepting)
        departure.serving(scope)
        await asyncio.sleep(1)
        departure.idle()
        accepting.close()
        await asyncio.sleep(10)
        assert departure.words == []
        departure.serving(scope)
        await asyncio.sleep(1)
        assert departure.words == ["begins"]


async def test_the_end_of_its_lifespan_ends_the_looking() -> None:
    departure = Diary()
    with listening() as accepting:
        with departure.watching():
            departure.serving(scope_of(accepting))
            await asyncio.sleep(1)
        departure.idle()
    await asyncio.sleep(10)
    assert departure.words == []


@pytest.mark.parametrize("server", [None, ("/run/app.sock", None), ["127.0.0.1", "1"]])
async def test_a_server_whose_socket_cannot_be_found_does_no_harm(server: object) -> None:
    departure = Diary()
    with departure.watching():
        departure.serving({"type": "http", "server": server})
        await asyncio.sleep(10)
    assert departure.words == []


# -- without a lifespan --------------------------------------------------------------------------------------


async def test_without_a_lifespan_it_listens_from_the_first_stream_on_and_warns_once(
    caplog: pytest.LogCaptureFixture, server: list[int]
) -> None:
    departure = Diary()
    for _ in range(2):
        departure.serving(NOWHERE)
        departure.idle()
    signal.raise_signal(TERM)
    await turns()
    assert departure.words == ["begins"]
    assert server == [TERM]
    (warning,) = caplog.messages
    assert "lifespan=streams.lifespan" in warning


async def test_where_it_cannot_hear_signals_it_warns_of_a_server_that_it_sees(
    caplog: pytest.LogCaptureFixture,
) -> None:
    signal.signal(TERM, signal.SIG_IGN)
    departure = Diary()
    with listening() as accepting:
        departure.serving(scope_of(accepting))
        await asyncio.sleep(1)
        assert len(caplog.messages) == 1
        accepting.close()
        await asyncio.sleep(1)
    assert departure.words == ["begins"]


async def test_a_test_client_is_not_taken_for_a_server(caplog: pytest.LogCaptureFixture) -> None:
    signal.signal(TERM, signal.SIG_DFL)
    signal.signal(INT, signal.default_int_handler)
    departure = Diary()
    departure.serving({"type": "http", "server": ("testserver", 80)})
    await asyncio.sleep(1)
    departure.idle()
    assert caplog.messages == []
    assert signal.getsignal(INT) is signal.default_int_handler


async def test_with_a_lifespan_nobody_is_warned(caplog: pytest.LogCaptureFixture) -> None:
    departure = Diary()
    with departure.watching(), listening() as accepting:
        departure.serving(scope_of(accepting))
        await asyncio.sleep(1)
    assert caplog.messages == []


def test_one_server_after_another_without_a_lifespan_each_has_its_own_shutdown() -> None:
    departure = Diary()
    own = signal.getsignal(TERM)

    async def main() -> None:
        departure.serving(NOWHERE)
        signal.raise_signal(TERM)
        await turns()

    for _ in range(2):
        asyncio.run(main())
    assert departure.words == ["begins", "begins"]
    signal.raise_signal(TERM)
    departure._ear.detach()
    assert signal.getsignal(TERM) is own


async def test_the_streams_of_a_second_loop_do_not_disturb_the_first_ones() -> None:
    departure = Diary()

    async def elsewhere() -> None:
        departure.serving(NOWHERE)

    with departure.watching():
        departure.serving(NOWHERE)
        await asyncio.to_thread(asyncio.run, elsewhere())
        signal.raise_signal(TERM)
        await turns()
    assert departure.words == ["begins"]


# -- keeping a signal from a server that would end all streams at once ---------------------------------------


@pytest.fixture
def twisted(server: list[int]) -> Callable[[int, FrameType | None], None]:
    """A handler like that of Twisted's reactor, as daphne has it."""

    def stop(number: int, frame: FrameType | None) -> None:
        server.append(number)

    stop.__module__ = "twisted.internet.base"
    signal.signal(TERM, stop)
    return stop


@pytest.mark.usefixtures("twisted")
async def test_twisted_hears_of_the_signal_when_the_streams_are_over(server: list[int]) -> None:
    departure = Diary(hold=20)
    departure.serving(NOWHERE)
    signal.raise_signal(TERM)
    await asyncio.sleep(5)
    assert (departure.words, server) == (["begins"], [])
    departure.idle()
    await asyncio.sleep(FLUSH / 2)
    assert server == []
    await asyncio.sleep(FLUSH)
    assert server == [TERM]
    await asyncio.sleep(100)
    assert server == [TERM]


@pytest.mark.usefixtures("twisted")
async def test_twisted_hears_of_it_at_the_latest_when_the_time_is_over(server: list[int]) -> None:
    departure = Diary(hold=20)
    departure.serving(NOWHERE)
    signal.raise_signal(TERM)
    await asyncio.sleep(0.5)
    signal.raise_signal(TERM)
    await asyncio.sleep(19.5 + LAST)
    assert server == []
    await asyncio.sleep(2 * FLUSH)
    assert server == [TERM]
    departure.idle()
    await asyncio.sleep(100)
    assert server == [TERM]


@pytest.mark.usefixtures("twisted")
async def test_twisted_hears_of_it_soon_from_who_insists(server: list[int]) -> None:
    departure = Diary(hold=20)
    departure.serving(NOWHERE)
    signal.raise_signal(TERM)
    await asyncio.sleep(2)
    signal.raise_signal(TERM)
    await asyncio.sleep(LAST)
    assert (departure.words, server) == (["begins", "again"], [])  # the streams' last cleanup
    await asyncio.sleep(2 * FLUSH)
    assert server == [TERM]
    await asyncio.sleep(100)
    assert server == [TERM]


@pytest.mark.usefixtures("twisted")
async def test_twisted_hears_of_it_at_once_from_who_goes_on_insisting(server: list[int]) -> None:
    departure = Diary(hold=20)
    departure.serving(NOWHERE)
    signal.raise_signal(TERM)
    await asyncio.sleep(2)
    signal.raise_signal(TERM)
    await turns()
    signal.raise_signal(TERM)
    assert server == [TERM]
    await asyncio.sleep(100)
    assert (departure.words, server) == (["begins", "again"], [TERM])


@pytest.mark.usefixtures("twisted")
async def test_twisted_hears_of_it_at_once_where_no_stream_lives(server: list[int]) -> None:
    departure = Diary(hold=20)
    departure.serving(NOWHERE)
    departure.idle()
    signal.raise_signal(TERM)
    assert server == [TERM]


@pytest.mark.usefixtures("twisted")
async def test_the_last_stream_may_be_over_before_the_loop_has_heard_of_the_signal(server: list[int]) -> None:
    departure = Diary(hold=20)
    departure.serving(NOWHERE)
    signal.raise_signal(TERM)
    departure.idle()
    await asyncio.sleep(2 * FLUSH)
    assert (departure.words, server) == (["begins"], [TERM])


@pytest.mark.usefixtures("twisted")
async def test_a_lifespan_that_ends_keeps_nothing(server: list[int]) -> None:
    departure = Diary(hold=20)
    with departure.watching():
        departure.serving(NOWHERE)
        signal.raise_signal(TERM)
        await turns()
        assert server == []
    assert server == [TERM]


@pytest.mark.usefixtures("twisted")
def test_nothing_is_kept_where_the_loop_has_stopped_and_nobody_would_pass_it_on(server: list[int]) -> None:
    departure = Departure(lambda: None, lambda: None, hold=20)

    async def main() -> None:
        departure.serving(NOWHERE)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    signal.raise_signal(TERM)
    assert server == [TERM]
    loop.close()


async def test_other_servers_hear_of_it_at_once(server: list[int]) -> None:
    departure = Diary(hold=20)
    departure.serving(NOWHERE)
    signal.raise_signal(TERM)
    assert server == [TERM]


# -- where nobody handles SIGTERM: in a process of its own, since that is its end ----------------------------

UNHANDLED = """
import asyncio, os, signal, socket, sys, time
from endwell.asgi._departure import Departure

async def main(story):
    say = lambda *words: print(*words, flush=True)
    departure = Departure(lambda: say("begins"), lambda: say("again"), hold=1.5)
    with socket.create_server(("127.0.0.1", 0)) as accepting, departure.watching():
        departure.serving({"server": accepting.getsockname()})
        while signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            await asyncio.sleep(0.01)
        await story(departure, accepting)
        say("shut down")
    say("lifespan over")

async def nothing_else(departure, accepting):
    signal.raise_signal(signal.SIGTERM)
    await asyncio.sleep(0.1)
    departure.idle()
    await asyncio.sleep(60)

async def never_over(departure, accepting):
    signal.raise_signal(signal.SIGTERM)
    await asyncio.sleep(60)

async def insisting(departure, accepting):
    signal.raise_signal(signal.SIGTERM)
    await asyncio.sleep(1.1)
    signal.raise_signal(signal.SIGTERM)
    await asyncio.sleep(60)

async def no_stream(departure, accepting):
    departure.idle()
    signal.raise_signal(signal.SIGTERM)

async def its_supervisor_ends_it(departure, accepting):
    accepting.close()
    await asyncio.sleep(0.6)
    signal.raise_signal(signal.SIGTERM)
    departure.idle()
    await asyncio.sleep(1.2)
    signal.raise_signal(signal.SIGTERM)
    await asyncio.sleep(0.1)

asyncio.run(main(globals()[sys.argv[1]]))
"""


@pytest.mark.parametrize(
    ("story", "said", "status"),
    [
        ("nothing_else", ["begins"], -TERM),
        ("never_over", ["begins"], -TERM),
        ("insisting", ["begins", "again"], -TERM),
        ("no_stream", [], -TERM),
        ("its_supervisor_ends_it", ["begins", "shut down", "lifespan over"], 0),
    ],
)
def test_a_sigterm_that_nobody_handles_waits_for_the_streams(
    story: str, said: list[str], status: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNHANDLED, story],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ,
    )
    assert (done.stdout.split("\n")[:-1], done.returncode) == (said, status), done.stderr
