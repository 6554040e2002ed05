"""Hearing of a shutdown when it begins: at the signal, long before lifespan shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeAlias

_Handler: TypeAlias = Callable[[int, FrameType | None], Any]
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def on_shutdown_signal(listener: Callable[[], None]) -> Iterator[None]:
    """While the block runs, call `listener` on the event loop at SIGTERM and SIGINT.

    It is called before the handler that was there; that one still runs, and is put back afterwards. If
    somebody has put another handler on top meanwhile, this one stays below it, and does nothing but pass the
    signal on.

    Signals without a handler of the server's own are left alone: then the process is about to die anyway.
    Outside the main thread, where no handler can be set, nothing happens.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    links = [
        _Link(number, previous, listener)
        for number in _SIGNALS
        if callable(previous := signal.getsignal(number))
    ]
    for link in links:
        signal.signal(link.number, link)
    try:
        yield
    finally:
        for link in links:
            link.leave()


class _Link:
    """A handler on top of another one."""

    def __init__(self, number: signal.Signals, below: _Handler, listener: Callable[[], None]) -> None:
        self.number = number
        self._below = below
        self._listener: Callable[[], None] | None = listener
        self._loop = asyncio.get_running_loop()

    def __call__(self, number: int, frame: FrameType | None) -> Any:
        if self._listener is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._listener)
        return self._below(number, frame)

    def leave(self) -> None:
        """Hear nothing more; put back what was below, unless somebody is on top."""
        self._listener = None
        top: Any = signal.getsignal(self.number)
        while isinstance(top, _Link) and top._listener is None:  # noqa: SLF001
            top = top._below  # noqa: SLF001
        signal.signal(self.number, top)
