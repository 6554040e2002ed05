"""A stream that belongs to no application: it answers one request, and nobody else knows of it."""

from __future__ import annotations

from collections.abc import Iterable

from endwell.engine._registry import VANISHED, Parting
from endwell.engine._stream import Stream
from endwell.observe import Callback, Ending, Notifier, is_logged, log_ending
from endwell.settings import Policy


class Alone:
    """What a `Registry` is to many streams, to one that has none; as cheap as may be.

    Args:
        policy: Its `cleanup` is what a callback may take.

    The attributes are those of `Registry`.
    """

    __slots__ = ("_notifier", "_policy")

    vanished = VANISHED
    id_header = watch = None

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._notifier: Notifier | None = None

    def is_going(self) -> bool:
        """Nobody says so."""
        return False

    def add(self, stream: Stream) -> None:
        """The stream begins."""

    def over(self, stream: Stream) -> None:
        """The stream is over: log it and tell its callbacks."""
        if stream.callbacks or is_logged(stream.error, stream.work.errors):
            self.tell(stream.ending(), stream.callbacks)

    def forget(self, stream: Stream) -> None:
        """It could not begin."""

    def see_off(self, client: Parting) -> None:
        """It is nobody's affair."""

    def tell(self, ending: Ending, callbacks: Iterable[Callback]) -> None:
        """Tell callbacks, and the log, of an ending."""
        self._notifier = Notifier(self._policy.cleanup)
        self._notifier.tell(callbacks, ending)
        log_ending(ending)

    async def settle(self) -> None:
        """Wait until no callback is running."""
        if self._notifier is not None:
            await self._notifier.settle()
