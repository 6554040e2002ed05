"""What must be true when a server is gone: each law names what is not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from signal import SIGTERM
from typing import TypeAlias

from tests.shutdown.launch import Report, Visit
from tests.shutdown.visitors import Told

EXTRA = 0.5
"""Seconds after the deadline at which the process may exit."""
LAST = 0.25
"""Seconds that cleanups have after a second signal, or without a drain."""
CUT = {18, 56, 92}
"""curl's exit codes for a body that was cut: truncated, reset, and the reset of an HTTP/2 stream."""
_RAISED_TO_CUT = re.compile(r"[^\n]*ERROR[^\n]*\nTraceback(?:(?!ERROR).)*?StreamCut: [^\n]*\n", re.DOTALL)
"""Where the connection is out of reach, a body is cut by raising, and the server says so."""
_BAD = ("Traceback", "was destroyed", "was never awaited", "ERROR", "CRITICAL")


def exits_in_time(report: Report) -> Iterator[str]:
    """The process that got the signal is gone by the deadline and half a second, and all its helpers."""
    bound = within(report)
    if report.exited is None:
        yield f"still there {report.case.drain + 8:g} s after the signal"
    elif report.exited > bound:
        yield f"exited after {report.exited:.2f} s, the bound is {bound:g} s"
    if report.code not in {None, 0, -SIGTERM}:
        yield f"exit code {report.code}"
    if report.left:
        yield f"{len(report.left)} processes left behind"


def within(report: Report) -> float:
    """Seconds from the signal in which the process must have exited."""
    case = report.case
    is_hurried = case.again is not None or not case.drain
    return case.patience + case.deadline + EXTRA + (LAST + case.served.own if is_hurried else 0.0)


def readers_are_told(report: Report) -> Iterator[str]:
    """Who reads gets a farewell or a refusal and a clean end, or a cut; soon, where nothing is stuck."""
    for visit in report.visits:
        if visit.situation.told is None:
            continue
        if visit.told is None:
            yield f"{visit.name}: was never told"
            continue
        took = (visit.told.ended - report.signalled) / 1e9
        if took > visit.situation.within + report.case.patience:
            yield f"{visit.name}: told after {took:.2f} s"
        yield from (f"{visit.name}: {wrong}" for wrong in _WORDS[visit.situation.told](visit.told))
        if visit.name == "goodbye" and b"goodbye" not in visit.told.body:
            yield "goodbye: it did not get through"


def _farewell(told: Told) -> Iterator[str]:
    yield from _clean(told)
    last = told.body.rstrip().rpartition(b"\n\n")[2]
    if told.status != 200 or b'"code":"drained"' not in last or not re.search(rb"(?m)^retry: \d+$", last):
        yield f"no farewell: {told.status}, {last!r}"


def _refusal(told: Told) -> Iterator[str]:
    yield from _clean(told)
    if told.status != 503 or not told.headers.get("retry-after", "").isdigit():
        yield f"no refusal: {told.status}, {told.headers}"


def _either(told: Told) -> Iterator[str]:
    return _farewell(told) if told.status == 200 else _refusal(told)


def _cut(told: Told) -> Iterator[str]:
    if told.code not in CUT:
        yield f"not cut: curl exits {told.code}"


def _clean(told: Told) -> Iterator[str]:
    if told.code:
        yield f"curl exits {told.code}"


_WORDS: dict[str, Callable[[Told], Iterator[str]]] = {
    "farewell": _farewell,
    "refusal": _refusal,
    "either": _either,
    "cut": _cut,
}


def cleanups_finish(report: Report) -> Iterator[str]:
    """The awaited cleanup of every source that has started comes to its end, once."""
    for visit in report.visits:
        done = len(_said(visit, "done"))
        if done != (len(_said(visit, "started")) if visit.situation.finishes else 0):
            yield f"{visit.name}: its cleanup finished {done} times"


def every_stream_has_one_ending(report: Report) -> Iterator[str]:
    """And it says what happened."""
    for visit in report.visits:
        endings = _said(visit, "ending")
        if len(endings) != 1 or endings[0] not in visit.situation.outcomes:
            yield f"{visit.name}: endings {endings}"


def _said(visit: Visit, what: str) -> list[str]:
    return [entry.value for entry in visit.entries if entry.what == what]


def shutdown_comes_last(report: Report) -> Iterator[str]:
    """In each worker the application's own shutdown code runs to its end, and after it nothing happens."""
    if not report.case.served.lifespan:
        return
    for process in {entry.process for entry in report.entries}:
        entries = [entry for entry in report.entries if entry.process == process]
        order = [entry.what for entry in entries]
        if order[-2:] != ["closing", "closed"] or order.count("closing") != 1:
            after = order[order.index("closing") :] if "closing" in order else "nothing"
            yield f"the application's shutdown code: {after}"


def the_log_is_clean(report: Report) -> Iterator[str]:
    """No traceback, nothing that was forgotten."""
    for line in _RAISED_TO_CUT.sub("", report.log).splitlines():
        own = any(words in line for words in report.case.served.own_words)
        if not own and any(word in line for word in _BAD):
            yield f"logged: {line}"


Law: TypeAlias = Callable[[Report], Iterator[str]]
LAWS: tuple[Law, ...] = (
    exits_in_time,
    readers_are_told,
    cleanups_finish,
    every_stream_has_one_ending,
    shutdown_comes_last,
    the_log_is_clean,
)


def broken(report: Report) -> list[str]:
    """All that is not as it must be."""
    return [wrong for law in LAWS for wrong in law(report)]
