"""When events arrive: at once through every proxy as endwell sends them; not so as most applications do."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.proxies.http2 import Http2
from tests.proxies.reading import AT_ONCE, Measure, Observer, ms_until, path, reading
from tests.servers.servers import Server

HTTP1 = (
    "nginx",
    "nginx-default",
    "nginx-gzip",
    "haproxy",
    "haproxy-default",
    "haproxy-gzip",
    "caddy",
    "caddy-gzip",
)
HELD = 1.0
"""Seconds without a byte after which an event counts as held back."""


@pytest.mark.parametrize("target", ["/sse/idle", "/ndjson/idle", "/raw/idle"])
@pytest.mark.parametrize("variant", HTTP1)
def test_the_first_chunk_arrives_at_once(
    through: Callable[[str], Server], observer: Observer, measure: Measure, variant: str, target: str
) -> None:
    proxy = through(variant)
    for key in range(3):
        begun = time.monotonic()
        with reading(proxy, observer, target, key) as client:
            client.sock.settimeout(AT_ONCE)
            client.read_until(b"chunk 0")
            measure("first event", variant, [(time.monotonic() - begun) * 1e3])
            assert client.head is not None
            assert client.head.headers.get("content-encoding") in {"identity", None}


@pytest.mark.parametrize("variant", HTTP1)
def test_events_are_not_gathered(
    through: Callable[[str], Server], observer: Observer, measure: Measure, variant: str
) -> None:
    with reading(through(variant), observer, "/sse/sending") as client:
        client.read_until(b"chunk 1\n")
        gaps = [ms_until(client, b"chunk %d\n" % number) for number in range(2, 12)]
    measure("gap between events sent every 20 ms", variant, gaps)


@pytest.mark.parametrize("variant", ["nginx-http2", "haproxy-http2", "caddy-http2"])
def test_the_first_event_arrives_at_once_over_http2(
    through: Callable[[str], Server], observer: Observer, measure: Measure, variant: str
) -> None:
    for key in range(3):
        with Http2(through(variant)) as client:
            begun = time.monotonic()
            client.request(path(observer, "/sse/idle", key))
            client.read_until(b"chunk 0")
            measure("first event", variant, [(time.monotonic() - begun) * 1e3])


@pytest.mark.parametrize("variant", ["nginx-default", "nginx-gzip"])
def test_without_endwells_headers_nothing_arrives(
    through: Callable[[str], Server], observer: Observer, variant: str
) -> None:
    with reading(through(variant), observer, "/sse/idle", plain=1) as client:
        client.sock.settimeout(HELD)
        with pytest.raises(TimeoutError):
            client.read_until(b"chunk 0")
        assert client.head is None
        assert observer.records()[0]["chunks"] == 1


@pytest.mark.parametrize("variant", ["haproxy-gzip", "caddy-gzip"])
def test_without_endwells_headers_events_are_compressed(
    through: Callable[[str], Server], observer: Observer, variant: str
) -> None:
    with reading(through(variant), observer, "/sse/sending", plain=1) as client:
        assert client.read_head().headers.get("content-encoding") == "gzip"
