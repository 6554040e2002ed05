"""How tests are run: an async test on a loop of its own, in virtual time; after each test, a census."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import os
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import uvloop
from blockbuster import BlockBuster

from tests.census import Process, watched
from tests.virtual_time import VirtualTimeLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

# -- Hypothesis ----------------------------------------------------------------------------------------------

# `dev` finds; `ci` depends on neither luck nor the machine's speed; `prove` (`make prove`) takes its time.
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
hypothesis.settings.register_profile("prove", deadline=None, max_examples=5_000)


def pytest_configure(config: pytest.Config) -> None:
    """Choose the Hypothesis profile (--hypothesis-profile overrides it) and name the markers."""
    if config.getoption("--hypothesis-profile", default=None) is None:
        hypothesis.settings.load_profile("ci" if os.environ.get("CI") == "true" else "dev")
    for marker in (
        "real_time(loop='asyncio'): an async test of sockets or processes, on a real loop: asyncio or uvloop",
        "virtual_time: an async test in virtual time, the default",
        "prove: takes too long for every day; `make prove` runs it",
        "may_block: an async test in whose endwell tasks a blocking call is no error, since it makes one",
    ):
        config.addinivalue_line("markers", marker)


# -- async tests ---------------------------------------------------------------------------------------------


_REAL_LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    """Make an async test a sync one, which brings its own loop; under Hypothesis, one for each example.

    Not anyio's plugin: it cancels what a test leaves running before anyone can see it.
    """
    if not isinstance(item, pytest.Function):
        return
    property_test = getattr(item.obj, "hypothesis", None)
    if property_test is not None and inspect.iscoroutinefunction(property_test.inner_test):
        property_test.inner_test = _as_sync(property_test.inner_test, item)
    elif inspect.iscoroutinefunction(item.obj):
        item.obj = _as_sync(item.obj, item)


def _as_sync(test: Callable[..., Coroutine[Any, Any, None]], item: pytest.Item) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        with asyncio.Runner(loop_factory=_loop_factory(item)) as runner, _no_blocking_calls(item):
            runner.run(watched(test(*args, **kwargs)))

    return run


def _loop_factory(item: pytest.Item) -> Callable[[], asyncio.AbstractEventLoop]:
    marker = item.get_closest_marker("real_time")
    if marker is None:
        return VirtualTimeLoop
    return _REAL_LOOPS[marker.kwargs.get("loop", "asyncio")]


# -- what no test may do -------------------------------------------------------------------------------------


class _no_blocking_calls:  # noqa: N801 - reads as the function it would be, but costs no generator per example
    """Within it, a blocking call on the loop, by endwell or by what endwell runs, raises BlockingError."""

    _guard: BlockBuster | None = None

    def __init__(self, item: pytest.Item) -> None:
        self._wanted = item.get_closest_marker("may_block") is None

    def __enter__(self) -> None:
        if self._wanted:
            cls = type(self)
            cls._guard = cls._guard or _guard()
            cls._guard.activate()

    def __exit__(self, *_: object) -> None:
        if self._wanted and self._guard is not None:
            self._guard.deactivate()


def _guard() -> BlockBuster:
    guard = BlockBuster("endwell")
    # Once a second thread has been measured, coverage takes its own lock in whatever line is new to it.
    guard.functions["threading.Lock.acquire"].can_block_in("coverage/collector.py", "lock_data")
    return guard


@pytest.fixture(scope="session", autouse=True)
def _signal_pipe() -> None:
    """With the first loop of a process, libuv opens a pipe for signals and keeps it: nobody's leak."""
    uvloop.new_event_loop().close()


@pytest.fixture(autouse=True)
def _census() -> Iterator[None]:
    """Threads and descriptors are as they were. The first fixture in, so the last one out.

    What was there before (modules, reports) is hidden from the garbage collector. So it costs little to
    collect after each test, and whatever complains of having been forgotten complains in its own test.
    """
    before = Process()
    gc.freeze()
    yield
    gc.collect()
    before.compare()
