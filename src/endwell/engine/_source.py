"""Any source as one shape: an async iterator to step, and one call to close it.

Closing is explicit and duck-typed (`aclose`, then `close`): cleanup never waits for the garbage collector,
and some iterators have only one of the two.
"""

from __future__ import annotations

import asyncio
import inspect
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from types import AsyncGeneratorType, GeneratorType
from typing import Any, NoReturn

from endwell.engine._closing import aclose
from endwell.engine._pool import ThreadPool, pool_of
from endwell.engine._threads import ThreadedIterator
from endwell.errors import SourceInUse
from endwell.types import Source

# Which iterators were given to a response. It marks objects, holds no state of any application, and keeps
# none alive. Generators are equal to themselves alone, so a set will do, at a tenth; others go by identity.
_taken: set[weakref.ref[Any]] = set()
_taken_by_id: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


class SourceHandle:
    """One source, taken over by one response, opened at most once and closed at most once."""

    __slots__ = ("_closed", "_served", "_source", "iterator")

    def __init__(self, source: Source) -> None:
        """Take `source` over.

        Raises:
            TypeError: It cannot produce chunks; the message says what would.
            SourceInUse: It is a generator or iterator that was given to a response before.
        """
        if not isinstance(source, AsyncGeneratorType):
            _check(source)
        _take(source)
        self._source = source
        self._served = False
        self._closed = False
        self.iterator: AsyncIterator[Any] | None = None

    def for_request(self) -> SourceHandle:
        """The handle for the next request that the response answers: itself, then one of its own for each.

        Raises:
            SourceInUse: It is an iterator, and was streamed already.
        """
        if not self._served:
            self._served = True
            return self
        return SourceHandle(self._source)

    def open(
        self, pool: ThreadPool | None = None, encode: Callable[[Any], bytes] | None = None
    ) -> AsyncIterator[Any]:
        """Start iterating; call it in the task that will step and close the source.

        Args:
            pool: Where a sync source's thread comes from; the event loop's own by default.
            encode: Makes frames of a sync source's chunks, in its thread; see `ThreadedIterator`.
        """
        source = self._source
        if isinstance(source, AsyncGeneratorType):
            self.iterator = source
        elif isinstance(source, AsyncIterable):
            self.iterator = aiter(source)
        elif isinstance(source, (list, tuple)):
            self.iterator = _Inline(iter(source))
        else:
            self.iterator = ThreadedIterator(source, pool or pool_of(asyncio.get_running_loop()), encode)
        return self.iterator

    @property
    def is_exhausted(self) -> bool:
        """It is a generator that has come to its end: there is nothing to close."""
        iterator = self.iterator
        is_over = isinstance(iterator, AsyncGeneratorType) and iterator.ag_frame is None
        return is_over and iterator is self._source

    async def close(self) -> None:
        """Close the iterator, then the source it came from where that is another object."""
        if self._closed:
            return
        self._closed = True
        try:
            if self.iterator is not None:
                await aclose(self.iterator)
        finally:
            # A ThreadedIterator closes what it iterates, in its thread.
            if self.iterator is not self._source and not isinstance(self.iterator, ThreadedIterator):
                await aclose(self._source)


class _Inline:
    """A list or tuple: stepping it cannot block, so it needs no thread."""

    __slots__ = ("_iterator",)

    def __init__(self, iterator: Iterator[Any]) -> None:
        self._iterator = iterator

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        for chunk in self._iterator:
            return chunk
        raise StopAsyncIteration


def _check(source: Any) -> None:
    if isinstance(source, (str, bytes, bytearray, memoryview, dict)):
        raise TypeError(f"a source must produce chunks, got a {type(source).__name__}; put it in a list")
    if inspect.isawaitable(source):
        kind = "a coroutine" if inspect.iscoroutine(source) else "an awaitable"
        close = getattr(source, "close", None) or (lambda: None)
        close()  # without the warning that it was never awaited
        raise TypeError(f"a source must be an async generator or an iterable, got {kind}; it has no yield")
    if isinstance(source, (AsyncIterable, Iterable)):
        return
    hint = "; call it" if callable(source) else ""
    raise TypeError(
        f"a source must be an async generator or an iterable, got {type(source).__qualname__}{hint}"
    )


def _take(source: Any) -> None:
    if isinstance(source, (AsyncGeneratorType, GeneratorType)):
        mark = weakref.ref(source, _taken.discard)
        if mark in _taken:
            _refuse(source)
        _taken.add(mark)
    elif isinstance(source, (AsyncIterator, Iterator)):  # any other iterable makes new ones for each response
        if _taken_by_id.get(id(source)) is source:
            _refuse(source)
        try:
            _taken_by_id[id(source)] = source
        except TypeError:
            pass  # some built-in iterators cannot be referenced weakly, and so not be marked


def _refuse(source: Any) -> NoReturn:
    raise SourceInUse(
        f"{getattr(source, '__qualname__', source)!s} was already given to a response; "
        "call the generator function again for each one"
    )
