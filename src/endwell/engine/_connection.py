"""What the engine needs of the floor above: one client's open response."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from endwell.engine._voice import Refusal


class Connection(Protocol):
    """One response.

    The engine calls it from the request's own task, one call at a time; `begin` from the source's. Every
    async method may block for as long as the client does not read, and may be cancelled there. OSError and
    RuntimeError mean that the client is gone.
    """

    ends_connection: bool
    """The server will close the connection when the body is over."""

    @property
    def ready(self) -> bool:
        """The server is known to take a piece of the body now, without waiting for the client."""

    def begin(self, data: bytes) -> Coroutine[Any, Any, None]:
        """A piece of the body as a send to step, for when `ready`: it should run through unsuspended."""

    @property
    def ended(self) -> bool:
        """The server is known to have taken the end of the body: what it says from then on is no news."""

    def taken(self) -> int | None:
        """Bytes that the client has acknowledged so far, a rising count; None where that cannot be known."""

    def abort(self) -> None:
        """Free the client's socket now, whatever waits in it; nothing is called any more."""

    async def open(self) -> None:
        """Send the status line and the headers; called once, before any `write`."""

    async def write(self, data: bytes, *, more: bool) -> None:
        """Send a piece of the body; `more=False` ends it, after which nothing is called any more."""

    async def refuse(self, refusal: Refusal) -> None:
        """Send a whole answer in the place of the stream: nothing was sent before it, or will be after."""

    async def cut(self) -> None:
        """End the body so that the client sees that it is not whole."""
