"""What is done about a client's own connection while a stream lasts."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Protocol

from endwell.asgi import _kernel, _sockets
from endwell.asgi._client import ClientSocket, Home
from endwell.asgi._patience import Patience, look_every
from endwell.types import Receive, Scope

if TYPE_CHECKING:
    from endwell.asgi._hidden import Watch


class Leaving(Protocol):
    """Who is told that the client has left, and tells others."""

    gone: bool

    def leave(self) -> None:
        """It has."""


class Follower(ClientSocket):
    """The socket of one response's client, watched if the stream lasts.

    It is seen to that a client who hangs up unread, or vanishes, is noticed; then the connection is reset. A
    server that does not know would wait for the rest to be taken, and log that the application broke off.

    Args:
        scope: The request.
        receive: The server's `receive`, or a middleware's.
        listener: Told, on the loop, when the client has hung up, or is gone.
        home: Says whether the process is shutting down.
        vanished: Seconds within which one that vanishes is found; None leaves that to the system.
        send: The stream's send deadline, which decides about a client that is there but does not read.

    Attributes:
        at: The descriptor at which it is watched; None while it is not.
        beside: Another one that is watched on the same connection.
    """

    __slots__ = ("_has_options", "_listener", "_patience", "_send", "_vanished", "_watch", "at", "beside")

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        listener: Leaving,
        *,
        home: Home | None = None,
        vanished: float | None = None,
        send: float | None = None,
    ) -> None:
        super().__init__(scope, receive, home)
        self._listener = listener
        self._vanished = vanished
        self._send = send
        self._has_options = False
        self._patience: Patience | None = None
        self._watch: Watch | None = None
        self.at: int | None = None
        self.beside: Follower | None = None

    @property
    def client(self) -> Follower:
        """Itself: it may have to wait once more until it can be watched."""
        return self

    @property
    def every(self) -> float | None:
        """Seconds between looks at it; None if it need not be looked at."""
        return None if self._vanished is None or self.port is None else look_every(self._vanished)

    def follow(self, watch: Watch) -> bool:
        """Be watched from now on.

        Returns:
            Whether that was done at once; else the socket is searched for, with those of all who ask now.
        """
        self._watch = watch
        if self._vanished is not None and (port := self.port) is not None:
            _kernel.cover(port, self._vanished)
        self.locate(self._begin)
        return self.at is not None

    def _begin(self, descriptor: int | None) -> None:
        if self._watch is None:  # it is over
            return
        if descriptor is None:
            if self.is_closed():
                self.leave()
            return
        if not self._watch.add(self, descriptor):
            return
        self.at = descriptor
        if self._vanished is not None and (port := self.port) is not None and _kernel.is_to_be_asked(port):
            self.on(descriptor, self._see_to_its_options)

    def stop(self) -> None:
        """The stream is over."""
        watch, self._watch = self._watch, None
        if watch is None:
            return
        if self.at is None:
            watch.part(self)
            return
        if self._patience is not None:
            self.on(self.at, self._patience.end)
        self._forget(watch, self.at)

    def leave(self) -> None:
        """The client has left, and the server does not know."""
        self._listener.leave()  # first of all: many may leave at once
        if self._watch is not None and self.at is not None:
            self._forget(self._watch, self.at)
        self.abort()

    def _forget(self, watch: Watch, at: int) -> None:
        self.at = None
        watch.remove(self, at)

    # -- looking -----------------------------------------------------------------------------------------

    @property
    def is_known(self) -> bool:
        """Whether it is known already that the client has left."""
        return self._listener.gone

    def is_gone(self) -> bool:
        """Whether the server has closed the connection without a word here, or it takes nothing any more."""
        if self.at is None:
            return False
        if self.is_closed(self.at):
            return True
        if self.every is None or (self._is_at_ease and _sockets.is_empty(self.at)):
            return False
        return bool(self.on(self.at, self._look))

    @property
    def _is_at_ease(self) -> bool:
        """Nothing has been done about it that would have to be undone, and nothing is to be done."""
        return self._has_options and self._patience is None

    def _look(self, connection: socket.socket) -> bool:
        if not self._has_options:
            self._see_to_its_options(connection)
        if self._patience is None:
            progress = _sockets.progress(connection)
            if progress is None or not progress.unsent:
                return False
            assert self._vanished is not None
            self._patience = Patience(self._vanished, send=self._send)
        return self._patience.look(connection)

    def _see_to_its_options(self, connection: socket.socket) -> None:
        self._has_options = True
        assert self._vanished is not None
        assert self.port is not None
        _kernel.cover_one(connection, self.port, self._vanished)
