"""A reader that does not read, behind a proxy: what the source can still get rid of, and how it ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.proxies.app import FLOOD
from tests.proxies.reading import Measure, Observer, path
from tests.servers.client import connect
from tests.servers.servers import Server
from tests.servers.sources import BIG

RECEIVE_BUFFER = 8192
MIB = 2**20
BOUND = 16
"""MiB that a proxy and four socket buffers may take: Linux lets each of those grow to 4 or 6 MiB."""
VARIANTS = ("nginx", "nginx-default", "haproxy", "haproxy-default", "caddy")


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_reader_that_does_not_read_holds_the_source_up(
    through: Callable[[str], Server], observer: Observer, measure: Measure, variant: str
) -> None:
    taken = _taken(through(variant), path(observer, "/raw/flood"), observer)
    measure("taken for a reader that does not read", variant, [taken / MIB], "MiB")
    assert taken < BOUND * MIB


def test_without_endwells_headers_nginx_takes_all(
    through: Callable[[str], Server], observer: Observer
) -> None:
    assert _taken(through("nginx-default"), path(observer, "/raw/flood", plain=1), observer) == FLOOD


def _taken(proxy: Server, target: str, observer: Observer) -> int:
    """Bytes that the source got rid of until it stood still."""
    with connect(proxy, receive_buffer=RECEIVE_BUFFER) as client:
        client.request(target)
        (record,) = observer.wait_blocked(1)
        client.rst()
        observer.wait_ended(1, "client_gone")
        chunks: int = record["chunks"]
        return chunks * len(BIG)


@pytest.mark.parametrize("variant", ["nginx", "haproxy", "caddy"])
def test_the_send_deadline_ends_a_reader_behind_a_proxy(
    through: Callable[[str], Server], observer: Observer, variant: str
) -> None:
    with connect(through(variant), receive_buffer=RECEIVE_BUFFER) as client:
        client.request(path(observer, "/raw/flood", send=1))
        observer.wait_ended(1, "slow_client")
