"""A client that leaves a proxy: when the source hears of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from urllib.parse import quote

import pytest

from tests.proxies.conftest import Pool
from tests.proxies.http2 import Http2
from tests.proxies.reading import AT_ONCE, Measure, Observer, path, reading
from tests.servers.client import Connection
from tests.servers.servers import Server

CLIENTS = 5
TOLD = ("nginx", "haproxy", "caddy")
"""Variants that pass a leaving client on at once."""
MOMENTS = {"idle": b"chunk 0", "sending": b"chunk 2", "silent": b""}
"""A source, and what a client waits for before it leaves; the silent one has not said anything yet."""


@pytest.mark.parametrize("how", ["fin", "rst", "half-close"])
@pytest.mark.parametrize("source", MOMENTS)
@pytest.mark.parametrize("variant", TOLD)
def test_a_leaving_client_stops_the_source(  # noqa: PLR0917 - parameters of the case
    through: Callable[[str], Server],
    observer: Observer,
    measure: Measure,
    variant: str,
    source: str,
    how: str,
) -> None:
    with _readers(through(variant), observer, source, CLIENTS) as clients:
        left = {str(key): client.leave(how) for key, client in enumerate(clients)}
        records = observer.wait_ended(CLIENTS, "client_gone")
    took = [(record["cleanup"] - left[record["key"]]) / 1e6 for record in records]
    measure(f"{how}, {source}: to the source's finally", variant, took)
    assert max(took) < AT_ONCE * 1e3


@contextmanager
def _readers(proxy: Server, observer: Observer, source: str, count: int) -> Iterator[list[Connection]]:
    with ExitStack() as stack:
        clients = [
            stack.enter_context(reading(proxy, observer, f"/sse/{source}", key)) for key in range(count)
        ]
        observer.wait_started(count)
        if MOMENTS[source]:
            for client in clients:
                client.read_until(MOMENTS[source])
        yield clients


@pytest.mark.parametrize("variant", ["nginx-http2", "haproxy-http2", "caddy-http2"])
def test_a_reset_stream_stops_the_source(
    through: Callable[[str], Server], observer: Observer, measure: Measure, variant: str
) -> None:
    with Http2(through(variant)) as client:
        client.request(path(observer, "/sse/idle"))
        client.read_until(b"chunk 0")
        left = client.reset()
        (record,) = observer.wait_ended(1, "client_gone")
    took = (record["cleanup"] - left) / 1e6
    measure("RST_STREAM, idle: to the source's finally", variant, [took])
    assert took < AT_ONCE * 1e3


BEATS = 5
"""Heartbeats, one a second, by which a leaver that the proxy hides is found: nginx and haproxy take
two of them, caddy four."""
HIDING = ("nginx-ignoring", "haproxy-default", "haproxy-3s", "caddy-flushing")
"""Variants that keep a leaving client of an idle stream to themselves."""


@pytest.mark.parametrize(
    ("variant", "beat"), [*((variant, 1) for variant in HIDING), ("nginx-ignoring", 0), ("haproxy-3s", 0)]
)
def test_the_leaver_that_a_proxy_hides_is_found_by_heartbeats_or_by_the_proxys_idle_timeout(
    measure: Measure, hidden: Mapping[str, float | None], variant: str, beat: int
) -> None:
    took = hidden[f"{variant}, heartbeat {beat}"]
    assert took is not None
    measure(f"FIN hidden, heartbeat {beat}: to the source's finally", variant, [took * 1e3])


@pytest.mark.parametrize("variant", ["haproxy-default", "caddy-flushing"])
def test_without_heartbeats_a_hidden_leaver_is_not_found(
    hidden: Mapping[str, float | None], variant: str
) -> None:
    assert hidden[f"{variant}, heartbeat 0"] is None


@pytest.fixture(scope="module")
def hidden(proxies: Pool) -> Mapping[str, float | None]:
    """Seconds from a FIN to the idle source's `finally`; None if not within `BEATS`. All of them at once."""
    observer = Observer(proxies.backend())
    left = {}
    for variant in HIDING:
        proxy = proxies.proxy(variant)
        for beat in (0, 1):
            case = f"{variant}, heartbeat {beat}"
            with reading(proxy, observer, "/sse/idle", quote(case), heartbeat=beat) as client:
                client.read_until(b"chunk 0")
                left[case] = client.fin()
    time.sleep(BEATS)
    ended = {record["key"]: record["cleanup"] for record in observer.records()}
    observer.stop_all()
    return {case: (ended[case] - at) / 1e9 if ended[case] else None for case, at in left.items()}
