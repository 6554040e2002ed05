"""The one way out: what is ready goes together, what is blocked holds nobody up, what is over stays over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from endwell import ByteStream, Cause, EventStream, NDJSONStream, Outcome, Policy, current_stream
from endwell.engine._cork import CORK
from endwell.types import Message, Receive, Scope, Send
from tests.engine.scene import FULL, QUIET, Diary, Visit, for_ever, now, talker, turns
from tests.peer import FOREVER, Peer


@pytest.fixture
def long_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice is real time: on a slow machine, one may end anywhere."""
    monkeypatch.setattr("endwell.engine._pull.SLICE", 3600)


# -- corking -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("long_slices")
async def test_chunks_that_are_ready_go_out_in_one_send_when_the_source_waits() -> None:
    async def source() -> AsyncIterator[int]:
        for number in range(100):
            yield number
            if number % 10 == 9:
                await asyncio.sleep(1)

    visit = Visit(source(), NDJSONStream)
    assert (await visit.ending()).chunks == 100
    assert [piece.count(b"\n") for piece in visit.pieces] == [10] * 10
    assert [sent.at for sent in visit.sends if sent.data] == list(range(10))


@pytest.mark.usefixtures("long_slices")
async def test_a_short_stream_is_two_sends() -> None:
    async def source() -> AsyncIterator[str]:
        yield "a"
        yield "b"

    visit = Visit(source())
    await visit.ending()
    assert visit.complete
    assert len(visit.sends) == 2


@pytest.mark.usefixtures("long_slices")
async def test_frames_are_sent_when_the_cork_is_full() -> None:
    async def source() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"x" * 8192

    visit = Visit(source(), ByteStream, policy=replace(QUIET, max_buffer=2 * CORK))
    await visit.ending()
    assert [len(piece) for piece in visit.pieces] == [CORK] * 8


@pytest.mark.usefixtures("long_slices")
async def test_each_chunk_of_a_source_that_waits_is_sent_at_once() -> None:
    async def source() -> AsyncIterator[int]:
        for number in range(3):
            yield number
            await asyncio.sleep(1)

    visit = Visit(source())
    await visit.ending()
    assert [sent.at for sent in visit.sends] == [0, 0, 1, 2, 3]


async def test_a_chunk_of_64_mebibytes_passes_whole() -> None:
    chunk = bytes(64 * 1024 * 1024)

    async def source() -> AsyncIterator[bytes]:
        yield chunk
        yield b"end"

    visit = Visit(source(), ByteStream, latency=1)
    ending = await visit.ending()
    assert (ending.outcome, ending.bytes) == (Outcome.COMPLETED, len(chunk) + 3)
    assert len(visit.body) == ending.bytes


@pytest.mark.parametrize("size", [1000, CORK, 3 * CORK])
@pytest.mark.parametrize("bound", [1, 100_000, 262_144])
async def test_a_reader_that_does_not_read_costs_its_bound_and_a_chunk_at_most(size: int, bound: int) -> None:
    produced = 0

    async def source() -> AsyncIterator[bytes]:
        nonlocal produced
        while True:
            produced += size
            yield b"x" * size

    policy = replace(QUIET, max_buffer=bound)
    visit = Visit(source(), ByteStream, policy=policy, sends={2: FOREVER})
    await asyncio.sleep(3600)
    assert bound <= produced <= bound + size
    visit.leave()
    await visit.ending()


async def test_a_reader_that_reads_on_gets_everything_once_and_in_order() -> None:
    async def source() -> AsyncIterator[int]:
        for number in range(20_000):
            yield number
            if number % 700 == 0:
                await asyncio.sleep(0.25)

    visit = Visit(source(), NDJSONStream, latency=0.3)
    visit.stall()
    asyncio.get_running_loop().call_at(100, visit.resume)
    assert (await visit.ending()).outcome is Outcome.COMPLETED
    assert visit.frames == [b"%d" % number for number in range(20_000)]


async def test_only_what_the_server_took_is_counted() -> None:
    sent = []

    async def source() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.sleep(1)
        sent.append(current_stream().sent)
        yield b"second"
        await asyncio.sleep(1)
        yield b"third"
        await for_ever()

    visit = Visit(source(), ByteStream, sends={3: FOREVER})
    await asyncio.sleep(5)
    visit.leave()
    ending = await visit.ending()
    assert sent == [(1, 5)]
    assert (ending.chunks, ending.bytes) == (1, 5)


async def test_an_empty_stream_is_an_empty_body() -> None:
    async def source() -> AsyncIterator[str]:
        for word in list[str]():
            yield word

    visit = Visit(source())
    ending = await visit.ending()
    assert (ending.outcome, ending.chunks, ending.time_to_first_chunk) == (Outcome.COMPLETED, 0, None)
    assert (visit.status, visit.body, visit.complete) == (200, b"", True)


# -- what a send can meet ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [OSError("reset"), RuntimeError("closed"), TimeoutError(), BrokenPipeError()]
)
@pytest.mark.parametrize("number", [1, 2, 3])
async def test_a_send_that_fails_means_that_the_client_is_gone(number: int, error: Exception) -> None:
    diary = Diary()
    gone = []

    async def source() -> AsyncIterator[str]:
        stream = current_stream()
        try:
            yield "a"
            await asyncio.sleep(1)
            yield "b"
            await for_ever()
        finally:
            await asyncio.sleep(1)
            gone.append(bool(stream.gone))
            diary("cleaned")

    visit = Visit(source(), sends={number: error})
    ending = await visit.ending()
    end = 1 if number == 3 else 0
    assert (ending.outcome, ending.cause, ending.error) == (Outcome.CLIENT_GONE, Cause.SEND_FAILED, None)
    assert (ending.duration, ending.cleanup) == (end, 1)
    assert diary == [(end + 1, "cleaned")]
    assert len(visit.sends) == number - 1
    assert gone == [True]


async def test_whoever_waits_for_the_client_to_leave_is_told_when_a_send_fails() -> None:
    diary = Diary()

    async def wait() -> None:
        await current_stream().gone
        diary("gone")

    async def source() -> AsyncIterator[str]:
        _ = current_stream().spawn(wait())
        yield "a"
        await for_ever()

    visit = Visit(source(), sends={2: OSError()})
    await visit.ending()
    assert diary == [(0, "gone")]


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_a_fault_in_a_middlewares_send_is_a_failure_and_is_raised(number: int) -> None:
    diary = Diary()
    fault = LookupError("of a middleware")

    async def source() -> AsyncIterator[str]:
        try:
            yield "a"
            await asyncio.sleep(1)
            yield "b"
            await for_ever()
        finally:
            await asyncio.sleep(1)
            diary("cleaned")

    visit = Visit(source(), sends={number: fault})
    ending = await visit.ending()
    assert (ending.outcome, ending.cause, ending.error) == (Outcome.FAILED, Cause.SEND_CRASHED, fault)
    assert await visit.over() is fault
    assert len(diary.entries) == 1


async def test_even_a_send_that_raises_no_exception_leaves_nothing_behind() -> None:
    class Stop(BaseException):
        pass

    diary = Diary()
    visit = Visit(talker(diary), sends={2: Stop()})
    await visit.ending()
    assert isinstance(await visit.over(), Stop)
    assert diary == [(0, "cancelled"), (1, "cleaned")]


async def test_a_send_that_fails_with_the_end_of_the_body_is_a_client_that_left() -> None:
    async def source() -> AsyncIterator[str]:
        yield "a"
        await asyncio.sleep(1)

    visit = Visit(source(), sends={3: OSError()})
    assert (await visit.ending()).cause is Cause.SEND_FAILED


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_a_blocked_send_is_cancelled_when_the_client_leaves(number: int) -> None:
    async def source() -> AsyncIterator[str]:
        yield "a"
        await asyncio.sleep(1)
        yield "b"
        await for_ever()

    visit = Visit(source(), sends={number: FOREVER})
    await asyncio.sleep(5)
    visit.leave()
    ending = await visit.ending()
    assert (ending.outcome, ending.duration, now()) == (Outcome.CLIENT_GONE, 5, 5)
    assert visit.unheard == []


async def test_a_client_that_leaves_while_the_end_of_the_body_is_blocked_is_not_waited_for() -> None:
    async def source() -> AsyncIterator[str]:
        yield "a"

    visit = Visit(source(), policy=Policy(send=30), sends={2: FOREVER})
    await asyncio.sleep(5)
    visit.leave()
    assert (await visit.ending()).outcome in {Outcome.CLIENT_GONE, Outcome.SLOW_CLIENT}
    assert now() <= 30
    assert visit.unheard == []


@pytest.mark.parametrize("latency", [None, 0, 1])
@pytest.mark.parametrize("pause", [0, 1, 5])
async def test_a_server_that_closes_the_connection_in_the_last_send_has_sent_everything(
    pause: float, latency: float
) -> None:
    """As hypercorn does where the connection ends with the response: its disconnect comes within the send."""

    async def source() -> AsyncIterator[str]:
        yield "a"
        await asyncio.sleep(pause)
        yield "b"

    close = [(b"connection", b"close")]
    for peer in ({"http_version": "1.0"}, {"http_version": "1"}, {"headers": close}):
        visit = Visit(source(), latency=latency, hasty=True, **peer)
        ending = await visit.ending()
        assert (ending.outcome, ending.cause, ending.chunks) == (Outcome.COMPLETED, Cause.SOURCE_ENDED, 2)
        assert visit.frames == [b"data: a", b"data: b"]
        assert await visit.over() is None


async def test_a_send_that_swallows_its_cancellation_and_returns_does_no_harm() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def stubborn(message: Message) -> None:
            try:
                await send(message)
            except asyncio.CancelledError:
                await asyncio.sleep(1)

        await EventStream(talker(diary), policy=QUIET)(scope, receive, stubborn)

    diary = Diary()
    peer = Peer(app, sends={2: FOREVER})
    await asyncio.sleep(5)
    peer.leave()
    await peer.finished()
    assert diary == [(5, "cancelled"), (6, "cleaned")]
    assert peer.unheard == []


async def test_a_cancellation_that_send_raises_on_its_own_account_leaves_nothing_behind() -> None:
    diary = Diary()
    visit = Visit(talker(diary), sends={2: asyncio.CancelledError()})
    ending = await visit.ending()
    assert ending.cause is Cause.SERVER_CANCELLED
    assert diary == [(0, "cancelled"), (1, "cleaned")]


async def test_after_a_send_that_timed_out_nothing_is_sent_ever_again() -> None:
    visit = Visit(talker(Diary()), policy=Policy(send=3), sends={2: FOREVER})
    ending = await visit.ending()
    sends = len(visit.sends)
    visit.resume()
    await turns()
    assert ending.outcome is Outcome.SLOW_CLIENT
    assert len(visit.sends) == sends == 2


async def test_a_server_whose_send_takes_time_is_sent_one_message_at_a_time() -> None:
    at_once = most = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def slow(message: Message) -> None:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.7)
            at_once -= 1
            await send(message)

        async def source() -> AsyncIterator[bytes]:
            for _ in range(10):
                yield FULL
                await asyncio.sleep(0.5)

        await ByteStream(source(), policy=Policy(heartbeat=1))(scope, receive, slow)

    await Peer(app).finished()
    assert most == 1
