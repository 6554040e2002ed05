"""The three responses take what can be streamed, keyword options, and nothing else. Nothing here runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import assert_type

from starlette.responses import Response

from endwell import (
    ByteStream,
    CancelOnDisconnect,
    Cause,
    Ending,
    Event,
    EventStream,
    NDJSONStream,
    Outcome,
    Policy,
)
from endwell.types import ASGIApp


async def letters() -> AsyncIterator[str]:
    yield "a"


def numbers() -> Iterator[int]:
    yield 1


class OnlyIterable:
    def __iter__(self) -> Iterator[int]:
        return numbers()


async def told(ending: Ending) -> None: ...


def what_is_a_source() -> list[Response]:
    return [
        EventStream(letters()),
        EventStream(numbers()),
        EventStream(["a", Event("b", event="c", id=1, retry=2, comment="d")]),
        NDJSONStream(OnlyIterable(), heartbeat=True),
        ByteStream(Path("rows.csv").open(encoding="utf-8"), media_type="text/csv"),
        EventStream(
            letters(),
            status=201,
            headers={"x-a": "b"},
            policy=Policy(total=60),
            owns=[asyncio.Lock()],
            on_end=told,
            background=None,
        ),
    ]


def what_is_none() -> None:
    EventStream(letters)  # type: ignore[arg-type]
    EventStream(3)  # type: ignore[arg-type]
    EventStream()  # type: ignore[call-arg]
    EventStream(letters(), polcy=None)  # type: ignore[call-arg]
    EventStream(letters(), media_type="text/csv")  # type: ignore[call-arg]
    EventStream(letters(), heartbeat=True)  # type: ignore[call-arg]
    EventStream(letters(), headers={"x": 1})  # type: ignore[dict-item]
    EventStream(letters(), on_end=lambda: None)  # type: ignore[arg-type, misc]
    Policy(10)  # type: ignore[call-arg]
    Policy(heartbeat="10")  # type: ignore[arg-type]
    Event("a", "b")  # type: ignore[call-arg]


def what_a_response_is(app: ASGIApp) -> None:
    application: ASGIApp = EventStream(letters())
    assert_type(EventStream(letters()).status_code, int)
    CancelOnDisconnect(application, paths=("/a", "/b"))
    CancelOnDisconnect(app, match=lambda scope: scope["path"] == "/a")
    CancelOnDisconnect(app, path="/a")  # type: ignore[call-arg]


def what_an_ending_is(ending: Ending) -> None:
    assert_type(ending.outcome, Outcome)
    assert_type(ending.cause, Cause)
    assert_type(ending.error, BaseException | None)
    assert_type(ending.cleanup_errors, tuple[BaseException, ...])
    assert_type(ending.time_to_first_chunk, float | None)
    ending.chunks = 3  # type: ignore[misc]
    Policy().heartbeat = 3  # type: ignore[misc]
