"""HTTP/2: one stream's client does not read, the others on its connection have done nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import time
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived

from tests.network.conftest import SERVERS, launch
from tests.servers.servers import HOST, Config

OPTIONS: dict[str, tuple[str, ...]] = {"granian": ("--http", "2"), "hypercorn": ()}
MARKS: dict[str, Collection[pytest.MarkDecorator]] = {"granian": (), "hypercorn": (pytest.mark.prove,)}
PLENTY = 1 << 24
"""Bytes of window for the connection, so that a stream which is not read does not use up the others'."""


class Client:
    """A connection; `got` counts each stream's bytes."""

    def __init__(self, port: int) -> None:
        self._sock = socket.create_connection((HOST, port), 5)
        self._sock.settimeout(0.05)
        self._http = H2Connection(H2Configuration(client_side=True))
        self._http.initiate_connection()
        self._http.increment_flow_control_window(PLENTY)
        self.got: Counter[int] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._sock.close()

    def request(self, path: str) -> int:
        """Ask for `path`; the stream's number."""
        stream = self._http.get_next_available_stream_id()
        headers = [(":method", "GET"), (":path", path), (":scheme", "http"), (":authority", HOST)]
        self._http.send_headers(stream, headers, end_stream=True)
        self._sock.sendall(self._http.data_to_send())
        return stream

    def drain(self) -> None:
        """Take what comes until the server ends the connection; its reset is one way to."""
        self._sock.settimeout(5)
        with contextlib.suppress(ConnectionResetError):
            while self._sock.recv(65536):
                pass

    def read(self, seconds: float) -> None:
        """Take what comes, without giving any stream a larger window."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                data = self._sock.recv(65536)
            except TimeoutError:
                continue
            for event in self._http.receive_data(data):
                if isinstance(event, DataReceived):
                    assert event.stream_id is not None
                    self.got[event.stream_id] += event.flow_controlled_length
            self._sock.sendall(self._http.data_to_send())


CONFIGS = [
    pytest.param(
        dataclasses.replace(config, args=config.args + OPTIONS[config.name]), marks=MARKS[config.name]
    )
    for config in SERVERS
    if config.name in OPTIONS
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_a_stream_that_is_not_read_ends_alone_and_the_server_stops(config: Config, tmp_path: Path) -> None:
    server = launch(config, tmp_path)
    try:
        with Client(server.port) as client:
            unread, other = client.request("/big?send=1"), client.request("/ticking?send=1")
            client.read(2.5)
            assert "slow_client after" in server.output()
            assert client.got[unread] == 65535
            before = client.got[other]
            client.read(0.5)
            assert client.got[other] > before
            if config.package == "granian":  # hypercorn tells streams of a shutdown by cancelling them, later
                server.terminate()
                client.drain()
                server.process.wait(2)
    finally:
        server.stop()
