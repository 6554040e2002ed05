"""The clients that are there when the signal comes: one reads, one never does, one has just left."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass

from tests.proxies.http2 import Http2
from tests.servers.client import Connection, connect
from tests.servers.servers import Server

SMALL_BUFFER = 8192
HELLO = b"hello"
PATIENCE = 120.0
"""Seconds after which curl gives up by itself: it only bounds a failing test."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a client got.

    Attributes:
        code: curl's exit code; 0 is a clean end.
        status: the HTTP status; 0 if there was none.
        headers: with names in lower case.
        body: all of it.
        ended: when, in monotonic ns.
    """

    code: int
    status: int
    headers: dict[str, str]
    body: bytes
    ended: int


class Visitor(ABC):
    """One client with one request.

    Args:
        server: whom it asks.
        http: the version of HTTP that it speaks.
        target: what it asks for.
    """

    def __init__(self, server: Server, http: int, target: str) -> None:
        self.server, self.http, self.target = server, http, target

    @abstractmethod
    def come(self) -> None:
        """Connect and ask."""

    def greet(self) -> bool:
        """Wait until the first chunk is there, where one is to come; whether it is."""
        return True

    def leave(self) -> None:  # noqa: B027 - most stay
        """What it does just before the signal."""

    def told(self) -> Told | None:
        """What it got, when the server is gone; None for one that does not read to the end."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Give back what it holds."""


class Reader(Visitor):
    """curl, which reads what comes, and judges how it ended."""

    def __init__(self, server: Server, http: int, target: str) -> None:
        super().__init__(server, http, target)
        self._curl: subprocess.Popen[bytes] | None = None
        self._got = b""
        self._told: Told | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def come(self) -> None:
        """See `Visitor`."""
        version = ("--http2-prior-knowledge",) if self.http == 2 else ()
        options = ("--silent", "--no-buffer", "--include", "--max-time", str(PATIENCE), *version)
        command = ["curl", *options, self.server.url + self.target]
        self._curl = subprocess.Popen(command, stdout=subprocess.PIPE)
        self._thread.start()

    def greet(self) -> bool:
        """See `Visitor`."""
        with self._changed:
            self._changed.wait_for(lambda: HELLO in self._got or self._told, PATIENCE)
            return self._told is None

    def told(self) -> Told | None:
        """See `Visitor`."""
        if self._curl is not None:
            self._thread.join(PATIENCE)
        return self._told

    def close(self) -> None:
        """See `Visitor`."""
        if self._curl is not None:
            self._curl.kill()
            self._thread.join()

    def _read(self) -> None:
        assert self._curl is not None
        assert self._curl.stdout is not None
        with self._curl.stdout as pipe:
            while data := os.read(pipe.fileno(), 65536):
                with self._changed:
                    self._got += data
                    self._changed.notify_all()
        code = self._curl.wait()
        with self._changed:
            self._told = _parsed(code, self._got, time.monotonic_ns())
            self._changed.notify_all()


def _parsed(code: int, got: bytes, at: int) -> Told:
    head, _, body = got.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(": ")[::2] for line in lines)
    status = int(first.split()[1]) if first else 0
    return Told(code, status, {name.lower(): value for name, value in pairs}, body, at)


class Direct(Visitor):
    """A socket of the test's own. By itself it never reads more than the first chunk."""

    _client: Connection | Http2

    def come(self) -> None:
        """See `Visitor`."""
        if self.http == 2:
            self._client = Http2(self.server)
        else:
            self._client = connect(self.server, receive_buffer=SMALL_BUFFER)
        self._client.request(self.target)

    def close(self) -> None:
        """See `Visitor`."""
        self._client.__exit__(None, None, None)


class Leaver(Direct):
    """It has read the first chunk, and is gone just before the signal; so is its connection."""

    def greet(self) -> bool:
        """See `Visitor`."""
        self._client.read_until(HELLO)
        return HELLO in self._client.body

    def leave(self) -> None:
        """See `Visitor`."""
        if isinstance(self._client, Http2):
            self._client.reset()
        self.close()


class Waiting(Reader):
    """It has no answer yet when the signal comes."""

    def greet(self) -> bool:
        """See `Visitor`."""
        return True


class Late(Waiting):
    """It asks just before the signal."""

    def come(self) -> None:
        """See `Visitor`."""

    def leave(self) -> None:
        """See `Visitor`."""
        super().come()


class Second(Waiting):
    """It waits for the place of another one, who came first."""

    def __init__(self, server: Server, http: int, target: str) -> None:
        super().__init__(server, http, target)
        self._first = Reader(server, http, f"{target}-first")

    def come(self) -> None:
        """See `Visitor`."""
        self._first.come()
        self._first.greet()
        super().come()

    def close(self) -> None:
        """See `Visitor`."""
        self._first.close()
        super().close()
