"""Hearing SIGTERM and SIGINT while the server's own handlers go on working.

A handler is put on top of the one that is there. It works on handlers of `signal.signal` and on those of
`loop.add_signal_handler`: the event loop learns of a signal by a byte that the interpreter writes for every
signal with a Python handler, whichever that is, and looks its own callback up.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, Literal, TypeAlias

Handler: TypeAlias = Callable[[int, FrameType | None], Any] | Literal[signal.Handlers.SIG_DFL]
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def is_handled(number: int) -> bool:
    """Whether somebody in Python handles a signal."""
    return callable(signal.getsignal(number))


class Ear:
    """One application that listens for SIGTERM and SIGINT.

    Several may listen in one process, and leave in any order.

    Args:
        heard: Called in the handler, in the main thread, with the signal's number and the handler that was
            there, before that one runs. True holds that one back until `release`. It must not raise.
        deaf: Whether the application is gone, and only forgot to detach: it is not called any more.
    """

    def __init__(self, heard: Callable[[int, Handler], bool], deaf: Callable[[], bool]) -> None:
        self.heard = heard
        self.deaf = deaf
        self._tops: list[_Top] = []

    def attach(self, *, unhandled: bool = False) -> bool:
        """Begin to listen, where that is possible: in the main thread.

        Args:
            unhandled: Listen also for a SIGTERM that nobody handles, and that is about to end the process.

        Returns:
            Whether there is anything to listen for.
        """
        for number in _SIGNALS:
            top = _Top.at(number, unhandled=unhandled and number == signal.SIGTERM)
            if top is not None and top not in self._tops:
                top.ears.append(self)
                self._tops.append(top)
        return bool(self._tops)

    def detach(self) -> None:
        """Hear nothing more; put back what was there, unless somebody has put another handler on top.

        Handlers that wait for this one go on. A signal that nobody handles is forgotten: the server has found
        its way to the end without it.
        """
        tops, self._tops = self._tops, []
        for top in tops:
            top.release(self, unhandled=False)
            if self in top.ears:
                top.ears.remove(self)
            top.tidy()

    def release(self) -> None:
        """Let the handlers go on that wait for this one. For the main thread."""
        for top in self._tops:
            top.release(self, unhandled=True)


class _Top:
    """A handler on top of another one, for every application that listens from there."""

    def __init__(self, number: int, below: Handler) -> None:
        self.number = number
        self.ears: list[Ear] = []
        self._below = below
        self._held_by: set[Ear] = set()

    @classmethod
    def at(cls, number: int, *, unhandled: bool) -> _Top | None:
        """The one for a signal, put there if need be; None where it is not possible, or not wanted."""
        there = signal.getsignal(number)
        if isinstance(there, _Top):
            there.ears = [ear for ear in there.ears if not ear.deaf()]
            return there
        if callable(there) or (unhandled and there is signal.SIG_DFL):
            top = cls(number, there)
            return top if _set(number, top) else None
        return None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self._held_by = {ear for ear in self.ears if not ear.deaf() and ear.heard(number, self._below)}
        if not self._held_by:
            self._pass_on(frame)

    def release(self, ear: Ear, *, unhandled: bool) -> None:
        if ear not in self._held_by:
            return
        self._held_by.remove(ear)
        if not self._held_by and (unhandled or callable(self._below)):
            self._pass_on(None)

    def _pass_on(self, frame: FrameType | None) -> None:
        if callable(self._below):
            self._below(self.number, frame)
        elif _set(self.number, self._below):
            signal.raise_signal(self.number)

    def tidy(self) -> None:
        """Put back what was below where nobody listens."""
        there: Any = signal.getsignal(self.number)
        bare = there
        while isinstance(bare, _Top) and not bare.ears:
            bare = bare._below  # noqa: SLF001 - of its own kind
        if bare is not there:
            _set(self.number, bare)


def _set(number: int, handler: Any) -> bool:
    try:
        signal.signal(number, handler)
    except ValueError:  # not the main thread
        return False
    return True
