"""Idle streams through proxies that cut after 3 s of silence: heartbeats keep them, and nothing else does."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.proxies.conftest import Pool
from tests.proxies.reading import Measure, Observer, reading
from tests.servers.client import Closed, Connection
from tests.servers.observer import Record, outcomes

WATCHED = 5.0
"""Seconds that the streams are watched: well past the 3 s of the proxies."""
VARIANTS = ("nginx-3s", "haproxy-3s", "caddy-3s")
CASES: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "heartbeats": ("/sse/idle", {"heartbeat": 1}),
    "none": ("/sse/idle", {"heartbeat": 0}),
    "silent": ("/sse/silent", {"heartbeat": 1, "hold": 1}),
    "held": ("/sse/silent", {"heartbeat": 1, "hold": 4}),
}
"""A source and its policy; the silent one never says anything, and is held until its `hold` is over."""


@dataclass(frozen=True)
class Seen:
    """What became of one stream: on the client's side, and on the source's."""

    client: Connection
    record: Record

    @property
    def status(self) -> int | None:
        """The HTTP status."""
        return None if self.client.head is None else self.client.head.status

    @property
    def open(self) -> bool:
        """Whether the client can still read."""
        return self.client.ended is None and not self.client.complete


@pytest.mark.parametrize("variant", VARIANTS)
def test_heartbeats_keep_an_idle_stream_through_a_proxy(idled: Mapping[str, Seen], variant: str) -> None:
    seen = idled[f"{variant}-heartbeats"]
    assert seen.open
    assert seen.client.body.count(b": ping\n") >= WATCHED - 1
    assert seen.record["cleanup"] is None


@pytest.mark.parametrize("variant", VARIANTS)
def test_heartbeats_keep_a_stream_without_a_first_chunk(idled: Mapping[str, Seen], variant: str) -> None:
    seen = idled[f"{variant}-silent"]
    assert seen.status == 200
    assert seen.open
    assert seen.record["cleanup"] is None


@pytest.mark.parametrize("variant", VARIANTS)
def test_without_heartbeats_a_proxy_cuts_an_idle_stream_which_ends_its_source(
    idled: Mapping[str, Seen], measure: Measure, variant: str
) -> None:
    seen = idled[f"{variant}-none"]
    assert not seen.open
    _check_left(seen, measure, variant)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_status_held_longer_than_a_proxy_waits_is_the_proxys_504(
    idled: Mapping[str, Seen], measure: Measure, variant: str
) -> None:
    seen = idled[f"{variant}-held"]
    assert seen.status == 504
    _check_left(seen, measure, variant)


def _check_left(seen: Seen, measure: Measure, variant: str) -> None:
    assert seen.record["done"] is not None
    assert outcomes(seen.record) == ["client_gone"]
    lasted = (seen.record["cleanup"] - seen.record["started"]) / 1e6
    measure("silence of 3 s: source's life", variant, [lasted])


@pytest.fixture(scope="module")
def idled(proxies: Pool) -> Iterator[Mapping[str, Seen]]:
    """All streams at once, read for `WATCHED` seconds; those that live stay open until the tests are over."""
    observer = Observer(proxies.backend())
    with ExitStack() as stack:
        clients: dict[str, Connection] = {}
        for variant in VARIANTS:
            for case, (target, query) in CASES.items():
                key = f"{variant}-{case}"
                opened = reading(proxies.proxy(variant), observer, target, key, **query)
                clients[key] = stack.enter_context(opened)
        deadline = time.monotonic() + WATCHED
        for client in clients.values():
            _read_until(client, deadline)
        records = {record["key"]: record for record in observer.records()}
        yield {key: Seen(client, records[key]) for key, client in clients.items()}


def _read_until(client: Connection, deadline: float) -> None:
    try:
        while not client.complete:
            client.sock.settimeout(max(0.01, deadline - time.monotonic()))
            if client.head is None:
                client.read_head()
            else:
                client.read_more()
    except (TimeoutError, Closed):
        pass  # that is what is asked
