"""What the engine needs of the floor above: one client's open response."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from endwell.engine._voice import Refusal


class Connection(Protocol):
    """One response.

    The engine calls it from the request's own task, one call at a time; `begin` from wherever there is
    something to send. Everything that is awaited may block for as long as the client does not read, and may
    be cancelled there. OSError and RuntimeError mean that the client is gone.
    """

    ends_connection: bool
    """The server will close the connection when the body is over."""

    @property
    def ready(self) -> bool:
        """The server is known to take a piece of the body now, without waiting for the client."""

    @property
    def is_prompt(self) -> bool:
        """When `ready`, a send is known to run through unsuspended, and to need no task."""

    def begin(self, data: bytes) -> Awaitable[None]:
        """A piece of the body as a send to step, for when `ready`: it should run through unsuspended."""

    @property
    def ended(self) -> bool:
        """The server is known to have taken the end of the body: what it says from then on is no news."""

    def taken(self) -> int | None:
        """Bytes that the client has acknowledged so far, a rising count; None where that cannot be known."""

    def abort(self) -> None:
        """Free the client's socket now, whatever waits in it; nothing is called any more."""

    def open(self) -> Awaitable[None]:
        """Send the status line and the headers; called once, before any `write`."""

    def write(self, data: bytes, *, more: bool) -> Awaitable[None]:
        """Send a piece of the body; `more=False` ends it, after which nothing is called any more."""

    def refuse(self, refusal: Refusal) -> Awaitable[None]:
        """Send a whole answer in the place of the stream: nothing was sent before it, or will be after."""

    def cut(self) -> Awaitable[None]:
        """End the body so that the client sees that it is not whole."""
