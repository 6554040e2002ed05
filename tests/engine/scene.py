"""A stream and its client, for tests that read like a scenario."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import msgspec

from endwell import Ending, EventStream, Policy
from endwell.types import Source
from tests.peer import Peer

QUIET = Policy(heartbeat=None, hold=None, send=None, max_buffer=65_536)
"""No deadline but the cleanup's: whatever happens was asked for."""

FULL = b"x" * 65_536
"""A chunk as big as the buffer: its source is not asked for another before the client has taken it."""


class Visit(Peer):
    """The client of one stream, who also hears of its ending.

    Args:
        source: The stream's source.
        response: The class of the response.
        policy, owns: The response's own.
        peer: What the client is like; see `Peer`.
    """

    def __init__(
        self,
        source: Source,
        response: Callable[..., Any] = EventStream,
        *,
        policy: Policy = QUIET,
        owns: Iterable[Any] = (),
        **peer: Any,
    ) -> None:
        self.endings: list[Ending] = []
        super().__init__(response(source, policy=policy, owns=owns, on_end=self._hear), **peer)

    async def _hear(self, ending: Ending) -> None:
        self.endings.append(ending)

    async def ending(self) -> Ending:
        """Wait until all is over; the one ending that there was."""
        error = await self.over()
        assert len(self.endings) == 1, (self.endings, error)
        return self.endings[0]

    def told(self) -> dict[str, str]:
        """The error that the response ends with: in its last frame, or as its whole body."""
        assert self.complete
        if self.headers["content-type"].startswith("text/event-stream"):
            event, _, data = self.frames[-1].partition(b"\n")
            assert event == b"event: error"
            error = msgspec.json.decode(data.removeprefix(b"data: "))
        else:
            error = msgspec.json.decode(self.frames[-1])["error"]
        assert list(error) == ["code", "message", "ref"]
        return dict(error)


class Diary:
    """What sources write down, with the virtual time; from any thread."""

    def __init__(self) -> None:
        self._now = asyncio.get_running_loop().time
        self.entries: list[tuple[float, str]] = []

    def __call__(self, entry: str) -> None:
        self.entries.append((self._now(), entry))

    @property
    def words(self) -> list[str]:
        """The entries without their times."""
        return [entry for _, entry in self.entries]

    def __eq__(self, other: object) -> bool:
        return self.entries == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self.entries)


async def talker(diary: Diary, *words: str, cleanup: float = 1) -> AsyncIterator[str]:
    """Say the words at once, then wait for ever; clean up for some seconds."""
    try:
        for word in words or ("hello",):
            yield word
        await for_ever()
    except asyncio.CancelledError:
        diary("cancelled")
        raise
    finally:
        await asyncio.sleep(cleanup)
        diary("cleaned")


async def for_ever() -> None:
    """Wait for what never comes."""
    await asyncio.get_running_loop().create_future()


def now() -> float:
    """The virtual time in seconds."""
    return asyncio.get_running_loop().time()


async def turns(number: int = 10) -> None:
    """Let the event loop turn, without time."""
    for _ in range(number):
        await asyncio.sleep(0)
