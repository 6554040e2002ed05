"""What is done with uvicorn's own objects, and that nobody else's are touched."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from endwell import EventStream
from endwell.asgi import _uvicorn
from endwell.types import Message, Receive, Scope, Send
from tests.engine.scene import QUIET
from tests.peer import Peer


class Cycle:
    """uvicorn's httptools cycle, as far as it is looked at."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.chunked_encoding: bool | None = None
        self.expected_content_length = 0

    async def receive(self) -> Message:
        return await self._receive()


async def source() -> AsyncIterator[str]:
    yield "one"
    await asyncio.sleep(1)
    yield "two"


@pytest.mark.parametrize(("http_version", "chunked"), [("1.0", False), ("1", False), ("1.1", None)])
async def test_a_body_of_http_1_0_is_not_chunked(http_version: str, chunked: bool | None) -> None:
    expected: list[int] = []
    cycles: list[Cycle] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        cycle = Cycle(receive)
        cycles.append(cycle)

        async def noting(message: Message) -> None:
            expected.append(cycle.expected_content_length)
            await send(message)

        await EventStream(source(), policy=QUIET)(scope, cycle.receive, noting)

    peer = Peer(app, http_version=http_version)
    await peer.finished()
    assert cycles[0].chunked_encoding is chunked
    assert peer.frames == [b"data: one", b"data: two"]
    # However long, until the last piece is there.
    assert expected[:-1] == [sys.maxsize if chunked is False else 0] * (len(expected) - 1)
    assert expected[-1] == 0


@pytest.mark.parametrize("cycle", [None, object(), 5])
def test_what_is_not_uvicorns_has_no_flow(cycle: Any) -> None:
    class Bound:
        __self__ = cycle

    assert _uvicorn.flow_of(Bound()) is None  # type: ignore[arg-type]


async def test_a_cycle_without_what_is_looked_for_is_left_alone() -> None:
    class Other:
        async def receive(self) -> Message:
            raise AssertionError

    Other.__module__ = "uvicorn.protocols.other"
    assert _uvicorn.flow_of(Other().receive) is None
    assert _uvicorn.CloseDelimited.where_needed({"http_version": "1.0"}, Other().receive) is None


def _no_longer() -> int:
    """As asyncio's transport of TLS answers when it was aborted."""
    raise AttributeError("'NoneType' object has no attribute '_get_write_buffer_size'")


@pytest.mark.parametrize(
    ("size", "has"),
    [(lambda: 5, True), (lambda: 0, False), (_no_longer, False)],
    ids=["some", "none", "over"],
)
def test_a_transport_that_is_over_holds_nothing(size: Callable[[], int], has: bool) -> None:
    class Closed(asyncio.Transport):
        def get_write_buffer_size(self) -> int:
            return size()

    assert _uvicorn.has_unsent(Closed()) is has
