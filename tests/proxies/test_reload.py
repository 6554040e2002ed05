"""What a reload of the proxy does to a hundred live streams."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.proxies.reading import AT_ONCE, Measure, Observer, reading
from tests.proxies.reload import reload, workers
from tests.servers.client import Closed, Connection
from tests.servers.servers import Server

STREAMS = 100
KINDS = ("nginx", "haproxy", "caddy")
GRACE = 1
"""Seconds that the impatient variants leave to the streams of an old configuration."""


@contextmanager
def _streams(proxy: Server, observer: Observer) -> Iterator[list[Connection]]:
    """A hundred streams, each with a heartbeat a second, of which every client has seen the beginning."""
    with ExitStack() as stack:
        opened = (reading(proxy, observer, "/sse/idle", key, heartbeat=1) for key in range(STREAMS))
        clients = [stack.enter_context(each) for each in opened]
        for client in clients:
            client.read_until(b"chunk 0")
        yield clients


@pytest.mark.parametrize("variant", KINDS)
def test_streams_outlive_a_reload(
    through: Callable[[str], Server], observer: Observer, measure: Measure, variant: str
) -> None:
    proxy = through(variant)
    before = set(workers(proxy))
    with _streams(proxy, observer) as clients:
        reload(proxy)
        for client in clients:
            client.read_until(b": ping\n", count=client.body.count(b": ping\n") + 1)
        with reading(proxy, observer, "/sse/idle", "new") as newcomer:
            newcomer.read_until(b"chunk 0")
        left = {str(key): client.fin() for key, client in enumerate(clients)}
        records = observer.wait_ended(STREAMS + 1, "client_gone")
    took = [(record["cleanup"] - left[record["key"]]) / 1e6 for record in records if record["key"] in left]
    measure("fin after a reload: to the source's finally", variant, took)
    assert max(took) < AT_ONCE * 1e3
    if variant != "caddy":  # which has but one process
        _wait_gone(proxy, before)


def _wait_gone(proxy: Server, old: set[int]) -> None:
    deadline = time.monotonic() + AT_ONCE
    while old & set(workers(proxy)):
        assert time.monotonic() < deadline, "an old worker stays without a stream"
        time.sleep(0.01)


@pytest.mark.parametrize("variant", ["nginx-impatient", "haproxy-impatient"])
def test_a_reload_with_a_bound_cuts_the_streams_whose_sources_end(
    through: Callable[[str], Server], observer: Observer, measure: Measure, variant: str
) -> None:
    proxy = through(variant)
    with _streams(proxy, observer) as clients:
        begun = time.monotonic_ns()
        reload(proxy)
        for client in clients:
            with pytest.raises(Closed):
                client.read_until(b"\0never\0")
            assert not client.complete
        records = observer.wait_ended(STREAMS, "client_gone")
    took = [(record["cleanup"] - begun) / 1e6 for record in records]
    measure(f"reload, streams cut after {GRACE} s: to the finally", variant, took)


def test_caddys_grace_period_does_not_cut_streams(
    through: Callable[[str], Server], observer: Observer
) -> None:
    proxy = through("caddy-impatient")
    with reading(proxy, observer, "/sse/idle", heartbeat=1) as client:
        client.read_until(b"chunk 0")
        reload(proxy)
        client.read_until(b": ping\n", count=client.body.count(b": ping\n") + GRACE + 2)
