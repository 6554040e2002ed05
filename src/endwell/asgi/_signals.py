"""Hearing of a shutdown when it begins: at the signal, long before lifespan shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

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
    loop = asyncio.get_running_loop()
    chained = {number: previous for number in _SIGNALS if callable(previous := signal.getsignal(number))}
    listening = True

    def handle(number: int, frame: FrameType | None) -> Any:
        if listening:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(listener)
        return chained[signal.Signals(number)](number, frame)

    for number in chained:
        signal.signal(number, handle)
    try:
        yield
    finally:
        listening = False
        for number, previous in chained.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, previous)
