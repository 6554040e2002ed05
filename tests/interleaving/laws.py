"""What holds for every schedule, whatever was in it."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator
from logging import LogRecord

from endwell import Cause, Ending, Outcome, StreamCut
from tests.interleaving.oracle import wrong_ending
from tests.interleaving.play import Play

_CHUNK = re.compile(rb"(?:data: )?<(\d+)>x*\n*")
_A_MOMENT = 0.1
"""Seconds that the engine may take to see whether somebody else's cancellation is over."""

_GONE = (Cause.DISCONNECT, Cause.SEND_FAILED, Cause.SEND_CRASHED, Cause.SEND_BLOCKED)


def broken_laws(play: Play, logged: list[LogRecord]) -> list[str]:
    """The laws that a performance broke, in words."""
    if play.server.began_at is None and play.cancels:
        return list(_left_behind(play))  # cancelled before the request's task began: nothing ever was
    if play.was_shut_down:
        return [*_left_behind(play), *_resources(play)]
    if len(play.endings) != 1:
        return [f"{len(play.endings)} endings", *play.loop.complaints, *_left_behind(play)]
    ending = play.endings[0]
    wrong = wrong_ending(play)
    return [
        *([wrong] if wrong else []),
        *_left_behind(play),
        *_resources(play),
        *_source(play, ending),
        *_wire(play, ending),
        *_told(play, ending),
        *_request(play, ending),
        *_time(play, ending),
        *_manner(play, ending),
        *_logged(ending, logged),
    ]


def _left_behind(play: Play) -> Iterator[str]:
    if play.registry.active():
        yield "still in the registry"
    if not play.server.task.done():
        yield "the request's task is not over"
    yield from (f"left behind: {each}" for each in play.loop.unfinished())
    yield from play.loop.complaints
    yield from play.server.violations


def _resources(play: Play) -> Iterator[str]:
    stage = play.stage
    if stage.released != stage.owned[::-1]:
        yield f"owned {stage.owned}, released {stage.released}"


def _source(play: Play, ending: Ending) -> Iterator[str]:
    stage = play.stage
    if stage.cleaned < stage.begun and not (ending.overdue or stage.excused):
        yield f"{stage.begun} cleanups begun, {stage.cleaned} finished, and not reported overdue"
    if stage.entered != stage.begun:
        yield f"entered {stage.entered} times, {stage.begun} cleanups begun"
    most = 2 if ending.overdue else 1
    if stage.cancellations > most:
        yield f"the source was cancelled {stage.cancellations} times"
    if stage.early and not (ending.overdue or stage.excused):
        yield "a resource was let go before the source's cleanup was over"
    if stage.uneasy and not ending.overdue:
        yield "a resource was let go in a task that counts as cancelled"
    yield from _overdue(play, ending)
    if ending.cause is Cause.SOURCE_ENDED and stage.cancellations:
        yield "a source that ended by itself was cancelled"


def _overdue(play: Play, ending: Ending) -> Iterator[str]:
    """What is given up has really taken too long; and it is told so, by a second cancellation.

    When the loop itself was late, all this may have hit the engine between two of its own steps.
    """
    if not ending.overdue or play.lagged_to:
        return
    is_slow = play.schedule.source == "stubborn" or {"slow", "raising"} & set(play.schedule.names)
    if not is_slow:
        yield "given up, although there was nothing slow"
    began = play.stage.entered or play.stage.released
    if began and play.over_at not in play.stage.cancelled_at:
        yield f"given up at {play.over_at} s, but cancelled at {play.stage.cancelled_at}"


def _wire(play: Play, ending: Ending) -> Iterator[str]:
    server = play.server
    body = server.body
    if server.status is not None and server.status >= 500:
        if b'"error"' not in body and server.complete and not server.unheard and not server.was_torn:
            yield f"an error without words: {body!r}"
        return
    numbers, rest = _numbers(body)
    if numbers != list(range(len(numbers))):
        yield f"chunks on the wire: {numbers}"
    if rest and (rest.count(b"event: error") != 1 or not rest.startswith(b"event: error")):
        yield f"after the chunks: {rest!r}"
    if ending.chunks > len(numbers) + body.count(b"<too late>") and not server.unheard:
        yield f"{ending.chunks} chunks counted, {len(numbers)} on the wire"
    if ending.outcome is Outcome.COMPLETED:
        missing = len(numbers) != play.stage.given and not server.unheard
        if rest or not (server.complete or server.left) or server.was_cut or missing:
            yield f"completed, with {len(numbers)} of {play.stage.given} chunks, then {rest!r}"
    elif server.whole and not (rest or server.was_torn or play.stage.ended) and ending.cause not in _GONE:
        yield f"{ending.outcome} looks like success"
    if rest and ending.cause in _GONE:
        yield f"{ending.cause}, and yet something was said: {rest!r}"


def _told(play: Play, ending: Ending) -> Iterator[str]:
    """A client that is there, and reads, is told of every end."""
    server = play.server
    is_there = play.schedule.prelude in ("fresh", "open") and not _HINDERS & set(play.schedule.names)
    if not is_there or play.finale or play.lagged_to or server.status is None:
        return
    if not (server.whole or server.was_cut):
        yield f"{ending.outcome}, and the client still waits"
    has_words = b"event: error" in server.body or play.schedule.wire != "sse" or server.status >= 500
    if ending.outcome is not Outcome.COMPLETED and not has_words:
        yield f"{ending.outcome}, and the client was not told"


_HINDERS = {"leave", "block", "fail", "crash", "cancel"}


def _numbers(body: bytes) -> tuple[list[int], bytes]:
    """The numbers of the chunks at the start of a body, and what comes after them, without heartbeats."""
    body = body.replace(b": ping\n", b"").replace(b"data: <too late>\n\n", b"").replace(b"<too late>", b"")
    numbers = []
    position = 0
    while found := _CHUNK.match(body, position):
        numbers.append(int(found[1]))
        position = found.end()
    return numbers, body[position:]


def _request(play: Play, ending: Ending) -> Iterator[str]:
    """What the request's task came to: nobody's cancellation is lost, and none is made up."""
    task = play.server.task
    if not task.done() or not isinstance(task, asyncio.Task):
        return
    if task.cancelling() != play.cancels:
        yield f"the request's task was cancelled {play.cancels} times, and counts {task.cancelling()}"
    if task.cancelled() != (play.cancels > 0):
        yield f"cancelled {play.cancels} times, and yet the request's task ended with {task!r}"
        return
    error = None if task.cancelled() else task.exception()
    if isinstance(error, StreamCut):
        if play.server.whole:
            yield "StreamCut, but nothing was cut"
    elif error is not ending.error and not task.cancelled():
        yield f"the request's task raised {error!r}, the ending says {ending.error!r}"
    if ending.error is not None and not isinstance(ending.error, (LookupError, RuntimeError)):
        yield f"the ending's error is {ending.error!r}"
    may_fail = ending.on_leave not in (None, "cancel")  # when its client had left the source alone
    if (ending.outcome is Outcome.FAILED) != (ending.error is not None) and not may_fail:
        yield f"{ending.outcome} with {ending.error!r}"


def _time(play: Play, ending: Ending) -> Iterator[str]:
    """Nothing waits for longer than its deadline, and nothing waits that has none."""
    cleanup, began_at = play.policy.cleanup, play.server.began_at
    assert began_at is not None
    if not 0 <= ending.cleanup <= max(cleanup, play.lagged_to - began_at - ending.duration) + 1e-6:
        yield f"the cleanup took {ending.cleanup} s of {cleanup}"
    assert play.over_at is not None
    latest = max(began_at + ending.duration + cleanup, play.lagged_to)
    if _alone(ending):
        latest = max(began_at + ending.duration + _alone(ending), play.lagged_to) + cleanup
    if play.over_at > latest + 1e-6:
        yield f"over at {play.over_at} s, not by {latest}"
    if play.over_at > play.passed + _A_MOMENT and not (
        ending.overdue or play.server.was_torn or _alone(ending)
    ):
        yield f"over at {play.over_at} s, though only {play.passed} had to pass, and nothing was overdue"


def _alone(ending: Ending) -> float:
    """Seconds that the source may go on without its client."""
    return 0 if ending.on_leave in (None, "cancel") else ending.on_leave.seconds  # type: ignore[union-attr]


def _manner(play: Play, ending: Ending) -> Iterator[str]:
    """A source that may go on without its client is not cancelled earlier, unless somebody asks."""
    if (ending.on_leave is not None) != (ending.outcome is Outcome.CLIENT_GONE):
        yield f"{ending.outcome}, and on_leave={ending.on_leave!r}"
    stage = play.stage
    if not _alone(ending) or not stage.cancellations or _ASKS & set(play.schedule.names):
        return
    assert play.server.began_at is not None
    until = play.server.began_at + ending.duration + _alone(ending)
    if stage.cancelled_at[0] < until - 1e-6 and play.schedule.source != "stopper":
        yield f"might go on until {until} s, but was cancelled at {stage.cancelled_at[0]} s"


_ASKS = {"stop", "drain", "cancel", "first_chunk", "between_chunks", "total"}


def _logged(ending: Ending, logged: list[LogRecord]) -> Iterator[str]:
    """What is overdue is reported once, what the cleanup raised once each, and nothing else is."""
    overdue = sum("is overdue" in record.msg for record in logged)
    raised = sum(record.msg == "cleanup of stream %s raised" for record in logged)
    failed = sum(record.levelno == logging.ERROR for record in logged)
    late = sum(record.msg.startswith("the overdue cleanup") for record in logged)
    expected = (ending.overdue, len(ending.cleanup_errors), ending.error is not None)
    is_more = len(logged) != sum(expected) + late or late > ending.overdue
    if (overdue, raised, failed) != expected or is_more:
        yield f"logged: {[record.msg for record in logged]}"
