"""A wrong option of `Streams` is an error where it is made; the right ones do what they say."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI

from endwell import ConfigurationError, Streams
from tests.ext.visits import Client, fetch, running

NO_SECONDS = [0, -1, math.nan, math.inf, "5", True]
NO_NUMBER = [0, -1, 1.5, True, "5", None]


def made(options: dict[str, Any]) -> Streams:
    return Streams(**options)


@pytest.mark.parametrize("name", ["vanished", "watchdog"])
@pytest.mark.parametrize("value", NO_SECONDS, ids=repr)
def test_what_are_no_seconds_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be a finite number of seconds, more than 0"):
        made({name: value})


@pytest.mark.parametrize("name", ["unattended", "threads"])
@pytest.mark.parametrize("value", NO_NUMBER, ids=repr)
def test_what_is_no_number_of_them_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be a whole number, at least 1; got"):
        made({name: value})


def test_a_watchdog_that_no_clock_can_wait_for_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="watchdog"):
        Streams(watchdog=1e12)


@pytest.mark.parametrize("name", ["watchdogs", "thread", "vanish"])
def test_an_unknown_option_is_answered_with_the_nearest_name(name: str) -> None:
    with pytest.raises(TypeError, match=f"Streams has no option {name!r}; did you mean"):
        made({name: 1})


async def test_what_may_be_switched_off_is() -> None:
    streams = Streams(vanished=None, watchdog=None)
    async with running(FastAPI(lifespan=streams.lifespan, debug=True)):
        assert not _watchdogs()


@pytest.mark.parametrize(("debug", "watched"), [(True, True), (False, False)])
async def test_the_watchdog_is_on_in_debug_mode(debug: bool, watched: bool) -> None:
    async with running(FastAPI(lifespan=Streams().lifespan, debug=debug)):
        assert bool(_watchdogs()) is watched


@pytest.mark.real_time
@pytest.mark.may_block
async def test_a_source_that_blocks_the_loop_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """BAD-INPUTS 23."""
    caplog.set_level(logging.WARNING, "endwell")
    streams = Streams(watchdog=0.2)
    app = FastAPI(lifespan=streams.lifespan)

    @app.get("/")
    @streams.sse
    async def blocking() -> AsyncIterator[str]:
        yield "a"
        time.sleep(1)  # noqa: ASYNC251 - it must not, and that is the point

    async with running(app):
        await fetch(app)
        await asyncio.sleep(0)
    assert "blocking (" in caplog.text
    assert "test_options.py" in caplog.text


async def test_how_many_threads_sync_sources_have_can_be_asked() -> None:
    streams = Streams(threads=1)
    app = FastAPI()
    go_on = threading.Event()

    @app.get("/")
    @streams.sse
    def blocked() -> Any:
        yield "a"
        go_on.wait()

    clients = [Client(app), Client(app)]
    await clients[0].got(b"data: a\n\n")
    assert streams.threads()[:2] == (1, 1)
    go_on.set()
    for client in clients:
        await client.finished()
    assert streams.threads() == (0, 0, 0)


def _watchdogs() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "watchdog" in thread.name]
