"""What a source can ask of the stream it feeds."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from endwell.errors import ConfigurationError, NoCurrentStream
from endwell.observe import Callback

if TYPE_CHECKING:
    from endwell.engine._stream import Stream

T = TypeVar("T")
R = TypeVar("R")

current: ContextVar[Stream] = ContextVar("endwell.stream")


def current_stream() -> CurrentStream:
    """Return the stream that the running source, its cleanup, or a task spawned from it belongs to.

    Raises:
        NoCurrentStream: Called anywhere else: in an endpoint before its source runs, or in an `on_end`
            callback.
    """
    try:
        return CurrentStream(current.get())
    except LookupError:
        raise NoCurrentStream(
            "current_stream() works inside a source only: in the generator, or what it calls"
        ) from None


class Sent(NamedTuple):
    """What the server has taken so far."""

    chunks: int
    bytes: int


class Gone:
    """Whether the client has left: true or false now, and awaitable for when it does."""

    __slots__ = ("_stream",)

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __bool__(self) -> bool:
        return self._stream.is_gone

    def __await__(self) -> Generator[Any, None, None]:
        return self._stream.gone.wait().__await__()

    def __repr__(self) -> str:
        return f"<Gone: {bool(self)}>"


class Draining:
    """Whether the process is going away: true or false now, and awaitable for when it is."""

    __slots__ = ("_stream",)

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        stream.says_goodbye = True

    def __bool__(self) -> bool:
        if self._stream.going:
            self._stream.knows = True
        return self._stream.knows

    def __await__(self) -> Generator[Any, None, None]:
        yield from self._stream.going.wait().__await__()
        self._stream.knows = True

    def __repr__(self) -> str:
        return f"<Draining: {bool(self._stream.going)}>"


class CurrentStream:
    """The running stream, as its source sees it."""

    __slots__ = ("_stream",)

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    @property
    def id(self) -> str:
        """The stream's id: unguessable, and the one that its `Ending` has."""
        return self._stream.id

    @property
    def gone(self) -> Gone:
        """The client has left. `if stream.gone` asks, `await stream.gone` waits.

        What runs in the source itself is cancelled anyway; this is for what runs beside it, and for cleanup
        that wants to know why it runs.
        """
        return Gone(self._stream)

    @property
    def draining(self) -> Draining:
        """The process is going away. `if stream.draining` asks, `await stream.draining` waits.

        A source that looks at it is trusted to say goodbye and to end by itself: it may go on until only the
        policy's `cleanup` is left of its `drain` (with the defaults for 4.75 s); every other is ended at
        once, or with thousands of them within seconds. One that has seen it come true and then ends has ended
        because of it: the outcome is `drained`, and its client is told to come back.
        """
        return Draining(self._stream)

    @property
    def owner(self) -> Any:
        """Who may stop the stream, besides the application; may be set. None: whoever knows its id."""
        return self._stream.owner

    @owner.setter
    def owner(self, owner: Any) -> None:
        self._stream.owner = owner

    @property
    def sent(self) -> Sent:
        """Chunks and bytes that the server has taken so far."""
        return Sent(self._stream.writer.chunks, self._stream.writer.bytes)

    @property
    def last_event_id(self) -> str | None:
        """What the client sent as `Last-Event-ID`: the last event it has seen. Anybody can send anything."""
        return self._stream.asker.last_event_id

    def owns(self, resource: R) -> R:
        """Release `resource` when the stream ends, after the source's own cleanup, in reverse order.

        Args:
            resource: A task (cancelled and awaited), anything with `aclose`, `close`, `__aexit__` or
                `__exit__`, an async iterator, or a function to call.

        Returns:
            The resource.

        Raises:
            NotReleasable: It is none of these.
        """
        self._stream.work.own(resource)
        return resource

    def on_end(self, callback: Callback) -> None:
        """Tell `callback` of the ending, once: `async def` on the event loop, `def` in a worker thread.

        Raises:
            ConfigurationError: It cannot be called.
            NoCurrentStream: The stream is over.
        """
        if self._stream.work.is_over:
            raise NoCurrentStream(f"stream {self._stream.id} is over")
        if not callable(callback):
            raise ConfigurationError(f"on_end must be a function of the Ending, got {callback!r}")
        self._stream.callbacks = (*self._stream.callbacks, callback)

    def stop(self, reason: str | None = None) -> bool:
        """End this stream as `stopped`. False if it was ending already.

        Called by the source itself, it takes effect at the source's next `await` or `yield`. It may be called
        from any thread, such as a sync source's own.
        """
        return self._stream.stop_from_anywhere(reason)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine beside the source.

        It is cancelled and awaited when the stream ends; if it raises, the stream has failed.
        """
        return self._stream.work.spawn(work)

    def __repr__(self) -> str:
        return f"<CurrentStream {self.id}>"
