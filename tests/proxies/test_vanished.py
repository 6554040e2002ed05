"""A client that vanishes behind a proxy is the proxy's to find; the source hears of it from the proxy."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.network.namespace import Namespace
from tests.proxies.reading import Measure, Observer, path
from tests.servers.client import Connection
from tests.servers.servers import Server

FINDING = {"nginx-vanished": 0, "haproxy-vanished": 1}
"""A variant that looks for them within 3 s, and seconds between heartbeats: nginx's keepalive asks only where
nothing is under way, haproxy's `tcp-ut` only where something is."""
NOT_FINDING = {"nginx-default": 1, "caddy": 1}
SILENCE = 7.0
"""Seconds in which those that look have found it."""


@pytest.fixture
def network() -> Iterator[Namespace]:
    """A network whose clients can vanish."""
    if reason := Namespace.why_not():
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing(reason)
    there = Namespace(9)
    there.open()
    try:
        yield there
    finally:
        there.close()


def test_a_vanished_client_is_found_by_a_proxy_that_looks_for_it_and_not_by_heartbeats(
    through: Callable[[str], Server], observer: Observer, network: Namespace, measure: Measure
) -> None:
    with ExitStack() as stack:
        for variant, heartbeat in {**FINDING, **NOT_FINDING}.items():
            sock = network.connect(through(variant).port)
            client = stack.enter_context(Connection(sock))
            client.request(path(observer, "/sse/idle", variant, heartbeat=heartbeat))
            client.read_until(b"chunk 0")
        stack.enter_context(network.silenced())
        since = time.monotonic_ns()
        time.sleep(SILENCE)
        gone = {record["key"]: record["cleanup"] for record in observer.records() if record["cleanup"]}
        assert set(gone) == set(FINDING)
    for variant, at in gone.items():
        measure("vanished: to the source's finally", variant, [(at - since) / 1e6])
