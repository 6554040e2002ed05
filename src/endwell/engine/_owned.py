"""Releasing what a stream owns: whatever it is, once, in reverse order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any, TypeAlias

from endwell.errors import NotReleasable
from endwell.observe import let_go

Release: TypeAlias = Callable[[], Awaitable[object] | object]


def releaser(resource: Any) -> Release:
    """Return the call that releases `resource`.

    The first that fits: a task or future is cancelled and awaited; then `aclose()`, `close()`, `__aexit__`,
    `__exit__`; at last a callable is called. What comes back is awaited if it can be. An async iterator
    without any of these needs nothing.

    Raises:
        NotReleasable: None of them fits.
    """
    if isinstance(resource, asyncio.Future):
        return lambda: _cancel(resource)
    for name in ("aclose", "close"):
        method = getattr(resource, name, None)
        if callable(method):
            return method  # type: ignore[no-any-return]
    for name in ("__aexit__", "__exit__"):
        method = getattr(resource, name, None)
        if callable(method):
            return lambda: method(None, None, None)
    if callable(resource):
        return resource  # type: ignore[no-any-return]
    if hasattr(resource, "__anext__"):
        return lambda: None  # an iterator without a close holds nothing that could be released
    raise NotReleasable(
        f"cannot own a {type(resource).__qualname__}: it has no aclose, close, __aexit__ or __exit__, "
        "is no task and cannot be called; give a function that releases it"
    )


async def release(call: Release) -> None:
    """Run one release to its end."""
    result = call()
    if hasattr(result, "__await__"):  # a tenth of what inspect.isawaitable costs
        await result


async def attempt(call: Release, failed: Callable[[BaseException], None]) -> None:
    """Run one release to its end; what it raises is handed to `failed`, so that the others get their turn."""
    try:
        await release(call)
    except BaseException as error:
        if torn_down(error):
            raise
        if not _only_a_cancellation(error):
            failed(error)


async def release_all(calls: Iterable[Release]) -> list[BaseException]:
    """Run every release to its end, one after the other; return what they raised."""
    errors: list[BaseException] = []
    for call in calls:
        await attempt(call, errors.append)
    return errors


def torn_down(error: BaseException) -> bool:
    """Whether the interpreter is closing the coroutine itself: nothing may be awaited any more."""
    if not isinstance(error, GeneratorExit):
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    return False


def _only_a_cancellation(error: BaseException) -> bool:
    """A task group around a `yield` wraps what closed it; it is no error of the cleanup's."""
    if isinstance(error, BaseExceptionGroup):
        return all(_only_a_cancellation(inner) for inner in error.exceptions)
    return isinstance(error, (asyncio.CancelledError, GeneratorExit))


async def waited_for(cancelled: Collection[asyncio.Future[Any]]) -> None:
    """Wait for those that were cancelled; if it takes too long, they are let go one by one, as we are."""
    try:
        await asyncio.wait(cancelled)
    except asyncio.CancelledError:
        for each in cancelled:
            if isinstance(each, asyncio.Task):
                let_go(each)
        raise


async def _cancel(future: asyncio.Future[Any]) -> None:
    future.cancel()
    # wait() rather than await: the future's own CancelledError is not ours.
    await waited_for([future])
    if not future.cancelled() and (error := future.exception()) is not None:
        raise error
