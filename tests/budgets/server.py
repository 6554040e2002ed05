"""uvicorn's own protocol, and transports that go nowhere: all of a server but the kernel and its timing."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections import Counter
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from endwell.types import ASGIApp, Message, Receive, Scope, Send
from tests.budgets.counting import place_of


class Transport(asyncio.Transport):
    """Takes what is written, for a client whose socket is real and silent."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._is_closing = False
        addresses = {"sockname": connection.getsockname(), "peername": connection.getpeername()}
        super().__init__({"socket": connection, **addresses})

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self._is_closing = True
        self._connection.close()

    abort = close

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


PROTOCOLS: dict[str, Callable[..., Any]] = {"h11": H11Protocol, "httptools": HttpToolsProtocol}


class Client:
    """One connection to a server."""

    def __init__(self, server: Server) -> None:
        self._peer = socket.create_connection(server.listening.getsockname())
        accepted, _ = server.listening.accept()
        self._transport = Transport(accepted)
        self._protocol = server.protocol(server.config, server.state, server.app_state)
        self._protocol.connection_made(self._transport)
        self.is_there = True

    def ask(self, path: str) -> None:
        """Send a request."""
        self._protocol.data_received(f"GET {path} HTTP/1.1\r\nHost: budget\r\n\r\n".encode())

    def leave(self) -> None:
        """Close the connection; the server hears of it at once."""
        self.is_there = False
        self._peer.close()
        self._transport.close()
        self._protocol.connection_lost(None)


class Server:
    """Serves an application.

    Args:
        app: The application.
        state: What its lifespan has left.
        protocol: Which of uvicorn's it speaks.

    Attributes:
        sent: What the application sent, by who sent it.
    """

    def __init__(self, app: ASGIApp, state: dict[str, Any], *, protocol: str = "h11") -> None:
        self.sent: Counter[str] = Counter()
        self.protocol = PROTOCOLS[protocol]
        self._counted: FunctionType | None = None
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.config = Config(self._counting(app), log_config=None, lifespan="off", access_log=False)
        self.config.load()
        self.state = ServerState()
        self.app_state = state
        self._clients: list[Client] = []

    def connect(self) -> Client:
        """A new connection."""
        client = Client(self)
        self._clients.append(client)
        return client

    async def answered(self) -> None:
        """Wait until every request is answered."""
        while self.state.tasks:
            await asyncio.wait(self.state.tasks)
        await asyncio.sleep(0)

    async def close(self) -> None:
        """Have every client leave."""
        for client in self._clients:
            if client.is_there:
                client.leave()
        await self.answered()
        self.listening.close()

    def _counting(self, app: ASGIApp) -> ASGIApp:
        async def counting(scope: Scope, receive: Receive, send: Send) -> None:
            assert isinstance(send, MethodType)  # uvicorn's own
            await app(scope, receive, MethodType(self._counted or self._counted_in(send), send.__self__))

        return counting

    def _counted_in(self, send: MethodType) -> FunctionType:
        """uvicorn's own, which counts, and passes for what it was: nothing is in between."""
        own = send.__func__

        async def counted(cycle: object, message: Message) -> None:
            self.sent[place_of(sys._getframe(1))] += 1
            await own(cycle, message)

        assert isinstance(counted, FunctionType)
        counted.__module__ = own.__module__
        self._counted = counted
        return counted
