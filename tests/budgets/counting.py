"""Counts what is done, not how long it takes: bytecode, and what is asked of the event loop, by its place.

Endwell's bytecode is its own, and that of what it calls: the standard library and anyio. A slow helper is no
cheaper for standing elsewhere. What the server, the framework and the application run is theirs, also where
endwell calls it.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, TypeAlias, TypeVarTuple, Unpack

import endwell
from tests.budgets.clock import CLOCK
from tests.virtual_time import VirtualTimeLoop

OURS = f"{Path(endwell.__file__).parent}/"
THEIRS = ("/uvicorn/", "/h11/", "/starlette/", "/fastapi/", "/tests/budgets/", "/tests/virtual_time.py")

Cost: TypeAlias = dict[str, Counter[str]]
"""What was counted -> place -> how often."""

_Ts = TypeVarTuple("_Ts")
_Trace: TypeAlias = Callable[[FrameType, str, Any], Any]


class CountingLoop(VirtualTimeLoop):
    """An event loop in virtual time that counts what it is asked for, and by whom."""

    def __init__(self) -> None:
        self.asked: Cost = {name: Counter() for name in ("handles", "timers", "tasks", "futures")}
        super().__init__()

    def time(self) -> float:
        """The clock of the whole process."""
        return CLOCK()

    def advance(self, seconds: float) -> None:
        """Let time pass, for the whole process."""
        CLOCK.advance(seconds)

    def call_soon(
        self, callback: Callable[[Unpack[_Ts]], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        self._count("handles")
        return super().call_soon(callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        self._count("timers")
        return super().call_at(when, callback, *args, context=context)

    def create_task(self, *args: Any, **kwargs: Any) -> asyncio.Task[Any]:
        self._count("tasks")
        return super().create_task(*args, **kwargs)

    def create_future(self) -> asyncio.Future[Any]:
        self._count("futures")
        return super().create_future()

    def _count(self, what: str) -> None:
        self.asked[what][place_of(sys._getframe(2))] += 1


class Opcodes:
    """Counts the bytecode instructions that endwell has run, by function."""

    def __init__(self) -> None:
        self._counts: dict[CodeType, list[int]] = {}
        self._names: dict[CodeType, str] = {}
        self._traces: dict[CodeType, _Trace] = {}

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count what this thread runs in the block."""
        sys.settrace(self._called)
        try:
            yield
        finally:
            sys.settrace(None)

    def by_place(self) -> Counter[str]:
        """Instructions by `module:function`."""
        counts: Counter[str] = Counter()
        for code, (count,) in self._counts.items():
            counts[self._names[code]] += count
        return counts

    def _called(self, frame: FrameType, event: str, arg: object) -> _Trace | None:
        owner = _owner(frame)
        if owner is None or not owner.f_code.co_filename.startswith(OURS):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._traces.get(frame.f_code) or self._new_trace(frame)

    def _new_trace(self, frame: FrameType) -> _Trace:
        code = frame.f_code
        count = self._counts[code] = [0]
        self._names[code] = _name(frame)

        def trace(frame: FrameType, event: str, arg: object) -> _Trace:
            if event == "opcode":
                count[0] += 1
            return trace

        self._traces[code] = trace
        return trace


def place_of(frame: FrameType | None) -> str:
    """Whose doing it is: the function of `frame`, or the next below it that is somebody's."""
    owner = _owner(frame)
    while owner is not None and owner.f_code.co_filename == __file__:
        owner = _owner(owner.f_back)
    return "the event loop" if owner is None else _name(owner)


def _owner(frame: FrameType | None) -> FrameType | None:
    """The nearest frame, from this one down, that is somebody's: the standard library is nobody."""
    while frame is not None and not _is_somebodys(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def _is_somebodys(file: str) -> bool:
    return file.startswith(OURS) or any(part in file for part in THEIRS)


def _name(frame: FrameType) -> str:
    return f"{frame.f_globals.get('__name__', '?')}:{frame.f_code.co_qualname}"
