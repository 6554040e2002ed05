"""A client of a whole application, and the application's lifespan as a server runs it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias
from urllib.parse import unquote

from endwell import Ending, Streams
from endwell.types import ASGIApp
from tests.peer import Peer

Headers: TypeAlias = Iterable[tuple[bytes, bytes]]


class Client(Peer):
    """One request to an application.

    Args:
        app: The application.
        target: Path and query, as in a URL.
        send: What to post, as JSON; a POST request then.
        headers: The request's.
        peer: What else the client is like; see `Peer`.
    """

    def __init__(
        self, app: ASGIApp, target: str = "/", *, send: object = None, headers: Headers = (), **peer: Any
    ) -> None:
        path, _, query = target.partition("?")
        if send is not None:
            headers = [*headers, (b"content-type", b"application/json")]
            peer = {"method": "POST", "body": [json.dumps(send).encode()], **peer}
        super().__init__(app, path=unquote(path), headers=headers, **peer)
        self.scope["query_string"] = query.encode()

    def json(self) -> Any:
        """The body, which is JSON."""
        return json.loads(self.body)

    @property
    def data(self) -> list[str]:
        """The data of each event."""
        return ["\n".join(_fields(frame, "data")) for frame in self.frames]

    @property
    def events(self) -> list[str]:
        """The names of those events that have one."""
        return [name for frame in self.frames for name in _fields(frame, "event")]


def _fields(frame: bytes, name: str) -> list[str]:
    lines = (line.partition(": ") for line in frame.decode().split("\n"))
    return [value for field, _, value in lines if field == name]


async def fetch(app: ASGIApp, target: str = "/", **client: Any) -> Client:
    """Make a request and wait for the end of the response; raises what the application raised."""
    visit = Client(app, target, **client)
    await visit.finished()
    return visit


async def turns(number: int = 10) -> None:
    """Let the event loop turn, without time."""
    for _ in range(number):
        await asyncio.sleep(0)


class Endings(list[Ending]):
    """What `streams.on_end` is told."""

    def __init__(self, streams: Streams) -> None:
        super().__init__()
        streams.on_end(self.hear)

    async def hear(self, ending: Ending) -> None:
        self.append(ending)

    async def only(self) -> Ending:
        """The one ending there was so far."""
        await turns()
        assert len(self) == 1, self
        return self[0]


@asynccontextmanager
async def running(app: ASGIApp) -> AsyncIterator[dict[str, Any]]:
    """Run the application's lifespan; yields the state that the server hands to each request."""
    inbox: asyncio.Queue[Any] = asyncio.Queue()
    outbox: asyncio.Queue[Any] = asyncio.Queue()
    state: dict[str, Any] = {}
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}
    task = asyncio.ensure_future(_lifespan(app, scope, inbox, outbox))
    inbox.put_nowait({"type": "lifespan.startup"})
    if (await outbox.get())["type"] != "lifespan.startup.complete":
        await task  # raises why
    try:
        yield state
    finally:
        inbox.put_nowait({"type": "lifespan.shutdown"})
        await task
    assert outbox.get_nowait()["type"] == "lifespan.shutdown.complete"


async def _lifespan(app: ASGIApp, scope: Any, inbox: asyncio.Queue[Any], outbox: asyncio.Queue[Any]) -> None:
    await app(scope, inbox.get, outbox.put)
