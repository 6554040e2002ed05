"""What a request may ask for: HEAD, HTTP/1.0, compression, and a Last-Event-ID of any kind."""

from __future__ import annotations

import zlib

import pytest

from tests.servers.client import CLEAN, RESET, connect, curl
from tests.servers.observer import Observer
from tests.servers.sources import CHUNKS

BARE_OR_BEHIND = pytest.mark.parametrize("prefix", ["", "/base"])


@BARE_OR_BEHIND
def test_head_gives_the_headers_and_starts_no_source(observer: Observer, prefix: str) -> None:
    with connect(observer.server) as client:
        client.request(observer.path(f"{prefix}/sse/idle"), method="HEAD")
        head = client.read_head()
        assert head.status == 200
        assert head.headers["content-type"].startswith("text/event-stream")
        client.start_over()
        client.request(observer.path(f"{prefix}/sse/numbers", key="get"))
        assert client.read_head().status == 200  # no body of the HEAD stood before it
    observer.wait("only the GET", lambda records: [record["key"] for record in records] == ["get"])


def test_head_by_curl_is_clean(observer: Observer) -> None:
    assert curl(observer.url("/sse/sending"), "--head").code == 0
    assert observer.records() == []


@BARE_OR_BEHIND
@pytest.mark.parametrize("name", ["sse", "ndjson", "raw"])
def test_http_1_0_gets_the_whole_body_and_a_closed_connection(
    observer: Observer, prefix: str, name: str
) -> None:
    with connect(observer.server) as client:
        client.request(observer.path(f"{prefix}/{name}/numbers"), version="1.0")
        head = client.read_head()
        chunked = head.headers.get("transfer-encoding") == "chunked"
        assert chunked == (bool(prefix) and observer.server.config.http10_chunked)
        assert client.read_to_end().count(b"chunk") == CHUNKS
        assert client.wait_closed() == "fin"
    observer.wait_ended(1, "completed")


def test_http_1_0_is_never_chunked_without_a_framework_between(observer: Observer) -> None:
    with connect(observer.server) as client:
        client.request(observer.path("/asgi/numbers"), version="1.0")
        assert "transfer-encoding" not in client.read_head().headers
        assert client.read_to_end() == b"chunk 0chunk 1chunk 2"
        assert client.wait_closed() == "fin"
    observer.wait_told("completed")


@BARE_OR_BEHIND
@pytest.mark.parametrize(("name", "frame"), [("sse", b"event: error\n"), ("ndjson", b'{"error":')])
def test_http_1_0_is_told_of_a_failure_by_the_terminal_frame(
    observer: Observer, prefix: str, name: str, frame: bytes
) -> None:
    seen = curl(observer.url(f"{prefix}/{name}/failing"), "--http1.0")
    assert seen.code == CLEAN
    assert frame in seen.body
    observer.wait_ended(1, "failed")


@BARE_OR_BEHIND
@pytest.mark.parametrize("name", ["sse", "ndjson", "raw"])
def test_a_stream_that_ends_its_connection_is_complete(observer: Observer, prefix: str, name: str) -> None:
    """Some servers say `http.disconnect` when they themselves close; that is no leaving client."""
    with connect(observer.server) as client:
        client.request(observer.path(f"{prefix}/{name}/numbers"), headers=(("connection", b"close"),))
        assert client.read_to_end().count(b"chunk") == CHUNKS
        assert client.complete
        assert client.wait_closed() == "fin"
    observer.wait_ended(1, "completed")


@BARE_OR_BEHIND
def test_http_1_0_is_told_of_a_cut_by_a_reset_where_the_server_lets_it(
    observer: Observer, prefix: str
) -> None:
    seen = curl(observer.url(f"{prefix}/raw/failing"), "--http1.0")
    code = CLEAN if observer.server.config.http10_cut_hidden else RESET
    assert (seen.code, seen.body) == (code, b"chunk 0chunk 1chunk 2")
    observer.wait_ended(1, "failed")


def test_compressed_events_of_sse_arrive_at_once(observer: Observer) -> None:
    with connect(observer.server) as client:
        client.request(observer.path("/gzip/sse/idle"), headers=(("accept-encoding", b"gzip"),))
        assert client.read_head().headers.get("content-encoding", "identity") == "identity"
        client.read_until(b"chunk 0")
        client.rst()
        observer.wait_ended(1, "client_gone")


@pytest.mark.parametrize("path", ["/gzip/ndjson/idle", "/gzip/raw/idle"])
def test_compressed_chunks_arrive_at_once(observer: Observer, path: str) -> None:
    with connect(observer.server) as client:
        client.request(observer.path(path), headers=(("accept-encoding", b"gzip"),))
        head = client.read_head()
        gzipped = head.headers.get("content-encoding") == "gzip"
        while b"chunk 0" not in (_decompressed(client.body) if gzipped else client.body):
            client.read_more()
        client.rst()
        observer.wait_ended(1, "client_gone")


def _decompressed(body: bytes) -> bytes:
    return zlib.decompressobj(wbits=31).decompress(body)


ODD_IDS = {
    "empty": (b"",),
    "twice": (b"1", b"2"),
    "NUL": (b"a\x00b",),
    "ESC": (b"\x1b[31mred",),
    "0xFF": (b"\xff\xfe",),
    "4 kB": (b"x" * 4096,),
    "70 kB": (b"x" * 70_000,),
}
REFUSED = {400, 413, 431}
"""How a server refuses what it takes for no HTTP, before any application."""


@pytest.mark.parametrize("name", ODD_IDS)
def test_an_odd_last_event_id_is_never_an_exception(observer: Observer, name: str) -> None:
    observer.forget_others()
    headers = tuple(("last-event-id", value) for value in ODD_IDS[name])
    with connect(observer.server) as client:
        client.request(observer.path("/sse/numbers"), headers=headers)
        client.read_to_end()
        status = client.head.status if client.head is not None else "no answer"
    refused = status in REFUSED or (status == "no answer" and name == "70 kB")
    assert refused or (status == 200 and client.body.count(b"chunk") == CHUNKS)
    if not refused:
        observer.wait_ended(1, "completed")
    assert "Traceback" not in observer.log()
    assert not any(raw in observer.log() for raw in ("\x00", "\x1b"))
    observer.wait_nothing_active()
