"""Learning that the process goes away when that begins: long before lifespan shutdown.

There are two signs. SIGTERM and SIGINT, where they reach this process; and the server's listening socket,
which disappears when a server stops of its own accord (after so many requests, or told to by the program
around it), and when it is a worker that gets no signal (hypercorn's).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from endwell.asgi._listening import Watch
from endwell.asgi._signals import Ear, Handler, is_handled
from endwell.asgi._sockets import UNIX, port_of
from endwell.lifecycle import LAST
from endwell.observe import logger
from endwell.types import Scope

SAME_EVENT = 1.0
"""Seconds in which a supervisor passes on what has reached this process already: uvicorn's needs 0.5."""
FLUSH = 0.05
"""Seconds for the last bytes to leave a server that drops what it has not sent when it stops."""
GRACE = 1.0
"""Seconds in which a server that does not handle SIGTERM shows that it is about to stop without it."""

_NO_LIFESPAN = (
    "the application's lifespan does not run streams.lifespan: at shutdown nothing waits for the streams' "
    "callbacks. Give it to the application (lifespan=streams.lifespan, or streams.compose(yours)), and leave "
    "the server's own switch for it on; daphne has none"
)


class Departure:
    """Learns that the process goes away.

    A signal is kept, while streams live, from those who would end them on the spot: Twisted's reactor, under
    daphne, and the system where nobody handles SIGTERM. Nobody does in hypercorn's workers, which their
    supervisor nevertheless tells SIGTERM as soon as one of them is over.

    Args:
        begins: Called on the event loop at the first sign.
        again: Called on the event loop when somebody insists: at a second signal.
        hold: Seconds that streams may take to end; a signal is kept a moment longer at most. When somebody
            insists, it is kept for that moment, and a third one is passed on at once.
        clock: The time in seconds.
    """

    def __init__(
        self,
        begins: Callable[[], None],
        again: Callable[[], None],
        *,
        hold: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._begins = begins
        self._again = again
        self._hold = hold
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ear = Ear(self._hears, self._is_over)
        self._live = False
        self._server: object = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Listen for signals while the block runs: the application's lifespan, on the event loop."""
        self._start(in_lifespan=True)
        self._ear.attach()
        try:
            yield
        finally:
            self.idle()
            self._watch.stop()
            self._stop_timer()
            self._ear.detach()
            self._loop = None

    def serving(self, scope: Scope) -> None:
        """A stream begins. For the event loop; nearly nothing is to be done while another one lives."""
        if self._live and scope.get("server") == self._server and self._loop is asyncio.get_running_loop():
            return
        self._serve(scope)

    def idle(self) -> None:
        """The last live stream is over: stop looking, and keep no signal any more."""
        self._live = False
        if self._loop is not None:
            self._watch.pause()
            if self._kept is not None:
                self._wait()

    def _start(self, *, in_lifespan: bool) -> None:
        """A new life of the application begins."""
        self._ear.detach()
        self._loop = asyncio.get_running_loop()
        self._watch = Watch(found=self._is_served, gone=self._begin)
        if in_lifespan and not is_handled(signal.SIGTERM):
            self._watch.note()  # it may be a worker of hypercorn's, which no signal reaches
        self._warned = in_lifespan
        self._first: tuple[int, float] | None = None
        self._begun = False
        self._insisted = False
        self._kept: Handler | None = None
        self._until = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def _serve(self, scope: Scope) -> None:
        if self._loop is not asyncio.get_running_loop():
            if not self._is_over():
                return  # the streams of several event loops: those of the first one count
            self._start_without_lifespan()
        self._live = True
        self._server = scope.get("server")
        if not self._begun:
            self._watch.go_on(port_of(scope) or UNIX)

    def _start_without_lifespan(self) -> None:
        self._start(in_lifespan=False)
        # Where nobody handles SIGTERM there is no server, but perhaps a test client: leave Ctrl-C alone.
        if is_handled(signal.SIGTERM) and self._ear.attach():
            self._warn()

    def _is_served(self) -> None:
        """There is a server in this process: a SIGTERM that nobody handles would end its streams too."""
        self._ear.attach(unhandled=True)
        self._warn()

    def _warn(self) -> None:
        if not self._warned:
            self._warned = True
            logger.warning(_NO_LIFESPAN)

    def _is_over(self) -> bool:
        return self._loop is None or self._loop.is_closed()

    # -- on the loop -------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._watch.stop()
            self._begins()

    # -- keeping a signal --------------------------------------------------------------------------------

    def _keep(self, below: Handler, seconds: float) -> None:
        """Keep it from `below` while streams live, and a moment longer; from now on no longer than that."""
        self._until = min(self._until, self._clock() + seconds + LAST + FLUSH)
        self._kept = below
        self._wait()

    def _wait(self) -> None:
        self._stop_timer()
        left = self._until - self._clock()
        after = GRACE if self._kept is signal.SIG_DFL else FLUSH
        self._timer = self._in(left if self._live else min(left, after), self._pass_on)

    def _pass_on(self) -> None:
        left = self._until - self._clock()
        if self._kept is signal.SIG_DFL and left > 0 and self._watch.is_gone():
            self._timer = self._in(left, self._let_go)
        else:
            self._let_go()

    def _let_go(self) -> None:
        self._kept = None
        self._until = math.inf
        self._stop_timer()
        self._ear.release()

    def _in(self, seconds: float, act: Callable[[], None]) -> asyncio.TimerHandle:
        assert self._loop is not None
        return self._loop.call_later(seconds, act)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- in the signal handler, between any two instructions of the main thread --------------------------

    def _hears(self, number: int, below: Handler) -> bool:
        now = self._clock()
        goes_anyway = below is signal.SIG_DFL and self._watch.is_gone()
        seconds = self._hold
        if self._first is None:
            self._first = (number, now)
            self._call(self._begin)
        elif not goes_anyway and not self._is_same_event(number, now):
            if self._insisted:
                return False
            self._insisted = True
            self._call(self._again)
            seconds = 0.0
        if not (self._live or goes_anyway) or not self._can_keep_from(below):
            return False
        self._call(functools.partial(self._keep, below, seconds))
        return True

    def _can_keep_from(self, below: Handler) -> bool:
        assert self._loop is not None
        if not self._loop.is_running():
            return False  # nobody would pass it on
        return below is signal.SIG_DFL or (getattr(below, "__module__", None) or "").startswith("twisted.")

    def _is_same_event(self, number: int, now: float) -> bool:
        """Whether it is the first signal once more, by another way.

        Ctrl-C reaches every process of a terminal, and each supervisor passes it on as SIGTERM; systemd tells
        every process of a service SIGTERM, and its supervisor tells its workers again. Only Ctrl-C pressed
        twice is somebody who insists.
        """
        assert self._first is not None
        first, at = self._first
        return now - at < SAME_EVENT and not first == number == signal.SIGINT

    def _call(self, act: Callable[[], None]) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(act)
