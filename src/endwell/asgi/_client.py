"""The socket of one response's client."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Protocol, TypeVar

from endwell.asgi import _sockets
from endwell.asgi._lookup import look_up
from endwell.asgi._uvicorn import abort, beneath, hang_up, has_unsent, mark_disconnected, transport_of
from endwell.types import Receive, Scope

T = TypeVar("T")

BETWEEN = 1.0
"""Seconds between looks at a shared connection on which a stream has met a client that takes nothing."""
STANDS = 5
"""Looks at which no stream on it got anything, with bytes waiting, after which it is reset: to none of them
can it be of use, and the one that was looked at has waited for the policy's `send` before."""


def is_shared(scope: Scope) -> bool:
    """Whether a request's connection carries others at the same time: HTTP/2."""
    return not str(scope.get("http_version", "1.1")).startswith("1")


class Home(Protocol):
    """Where a stream belongs."""

    def is_going(self) -> bool:
        """Whether the process is shutting down."""


class ClientSocket:
    """Reaches the socket below a response: through uvicorn's own transport, elsewhere by look-up.

    Args:
        scope: The request.
        receive: The server's `receive`, or a middleware's.
        home: Says whether the process is shutting down.

    Attributes:
        shared: It carries other responses at the same time: HTTP/2.
    """

    __slots__ = (
        "_aborted",
        "_descriptor",
        "_home",
        "_is_direct",
        "_receive",
        "_scope",
        "_searched",
        "_socket",
        "_transport",
        "_waiting",
        "shared",
    )

    def __init__(self, scope: Scope, receive: Receive, home: Home | None = None) -> None:
        self._is_direct = (transport := transport_of(receive)) is not None
        if transport is None and (own := beneath(receive, scope)) is not None:
            receive, transport = own, transport_of(own)
        self._receive = receive
        self._transport = transport
        self._scope = scope
        self._socket: socket.socket | None = None
        self._descriptor: int | None = None
        self._searched = self._aborted = False
        self._waiting: list[Callable[[int | None], None]] | None = None
        self._home = home
        self.shared = is_shared(scope)

    @property
    def address(self) -> _sockets.Address | None:
        """What it is looked up by; None where the server does not say."""
        return _sockets.address_of(self._scope)

    @property
    def port(self) -> int | None:
        """The server's; None where it does not say."""
        return _sockets.port_of(self._scope)

    def descriptor(self) -> int | None:
        """The server's descriptor of it, as far as known; another's, if the server has closed it since."""
        if self._transport is None:
            return self._descriptor
        # One that is closing may have its socket for long, for what the client has not taken yet. Asked for
        # once: a transport of TLS that was aborted does not know it any more.
        if self._socket is None:
            self._socket = self._transport.get_extra_info("socket")
        number: int = -1 if self._socket is None else self._socket.fileno()
        return number if number >= 0 else None

    @property
    def is_open(self) -> bool:
        """Whether it is known, at next to no cost, that the server has not closed it."""
        return self._socket is not None and self._socket.fileno() >= 0

    def is_closed(self, descriptor: int | None = None) -> bool:
        """Whether the server has closed it already; where it had to be found, it was at `descriptor`."""
        if self._transport is not None:
            return self.descriptor() is None and self._socket is not None
        if descriptor is None or (address := self.address) is None:
            return False
        try:
            with _sockets.view(descriptor) as connection:
                return not address.names(connection)
        except OSError:
            return True

    def locate(self, then: Callable[[int | None], None]) -> None:
        """Call `then` with the descriptor, now or soon; with None where it cannot be had."""
        known = self.descriptor()
        if self._waiting is not None:
            self._waiting.append(then)
            return
        address = self.address
        if known is not None or self._transport is not None or self._searched or address is None:
            then(known)
            return
        self._searched = True
        self._waiting = [then]
        look_up(address, self._found)

    def _found(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        waiting, self._waiting = self._waiting or [], None
        for then in waiting:
            then(descriptor)

    def on(self, descriptor: int, act: Callable[[socket.socket], T]) -> T | None:
        """Do something with the socket at `descriptor`, if it is this client's now; None where that fails."""
        with contextlib.suppress(OSError):
            if self._transport is not None:
                if self.descriptor() == descriptor:  # and nothing else can close it while this runs
                    with _sockets.view(descriptor) as connection:
                        return act(connection)
            elif (address := self.address) is not None:
                with _sockets.borrowed(descriptor, address.names) as duplicate:
                    return act(duplicate) if duplicate is not None else None
        return None

    def acked(self) -> int | None:
        """Bytes acknowledged since the connection began, of whatever response; None if not known yet."""
        descriptor = self.descriptor()
        if descriptor is None:
            self.locate(_ignore)
            return None
        progress = self.on(descriptor, _sockets.progress)
        return progress.acked if progress is not None else None

    def taken(self) -> int | None:
        """See `endwell.engine.Connection`. None on a shared one: others take from it too."""
        return None if self.shared else self.acked()

    def settle(self) -> None:
        """The response is over. uvicorn tells but the last of pipelined requests of a lost connection."""
        if self._transport is not None and self.is_closed():
            mark_disconnected(self._receive)

    def hang_up(self) -> bool:
        """End uvicorn's connection when what waits is sent, without an end of the body. False elsewhere."""
        if self._transport is None or self.shared or not self._is_direct:
            return False  # a middleware may hold back what was sent
        hang_up(self._receive, self._transport)
        return True

    def abort(self) -> None:
        """See `endwell.engine.Connection`.

        A shared one is left alone, as the others on it have done nothing, until none of them gets anything,
        or the process goes away.
        """
        if self._aborted:
            return
        self._aborted = True
        if self.shared and not self.is_going:
            self.locate(self._reset_in_the_end)
        else:
            self._reset()

    @property
    def is_going(self) -> bool:
        """Whether the process is shutting down."""
        return self._home is not None and self._home.is_going()

    @property
    def is_closing(self) -> bool:
        """The server is known to close it, and to have nothing to wait for."""
        transport = self._transport
        return transport is not None and transport.is_closing() and not has_unsent(transport)

    @property
    def has_unsent(self) -> bool:
        """The server is known to have bytes for the client that the kernel has no room for."""
        return self._transport is not None and has_unsent(self._transport)

    def cut_off_at(self, when: float) -> None:
        """Reset the connection at `when`, in the loop's time, if it is still open then."""
        asyncio.get_running_loop().call_at(when, self._cut_off)

    def _cut_off(self) -> None:
        if not self.is_closed(self.descriptor()):
            self.abort()

    def _reset(self) -> None:
        descriptor = self.descriptor()
        if self._transport is not None:
            if descriptor is not None:
                self.on(descriptor, _sockets.set_reset_on_close)
            abort(self._receive, self._transport)
        elif descriptor is not None:
            self.on(descriptor, _sockets.disconnect)
        elif self.address is not None:
            look_up(self.address, self._reset_at, is_urgent=True)

    def _reset_at(self, descriptor: int | None) -> None:
        if descriptor is not None:
            self.on(descriptor, _sockets.disconnect)

    def _reset_in_the_end(self, descriptor: int | None, acked: int = -1, looks: int = 0) -> None:
        """Look, as long as the connection is there, whether nobody on it gets anything any more.

        Nor is it waited for when the process goes away.
        """
        if descriptor is None or self.on(descriptor, _sockets.has_hung_up) is not False:
            return
        progress = self.on(descriptor, _sockets.progress)
        stands = progress is not None and progress.unsent > 0 and progress.acked == acked
        looks = looks + 1 if stands else 0
        if looks >= STANDS or self.is_going:
            self._reset()
            return
        acked = -1 if progress is None else progress.acked
        asyncio.get_running_loop().call_later(BETWEEN, self._reset_in_the_end, descriptor, acked, looks)


def _ignore(_: int | None) -> None:
    pass
