"""How a stream ended, as a client behind a proxy sees it: curl is the judge."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from functools import cache

import pytest

from tests.proxies.http2 import Http2
from tests.proxies.reading import Observer, path
from tests.proxies.variants import BY_NAME, executable
from tests.servers.client import CLEAN, TRUNCATED, connect, curl
from tests.servers.servers import Server
from tests.servers.sources import SECRET

HTTP1 = ("nginx", "nginx-default", "nginx-gzip", "haproxy", "haproxy-default", "caddy")
HTTP2 = ("nginx-http2", "haproxy-http2", "caddy-http2")
PRIOR_KNOWLEDGE = "--http2-prior-knowledge"
HIDDEN_CUTS: Mapping[str, tuple[str, ...]] = {"caddy": ("2.6.",), "haproxy-http2": ("2.6.",)}
"""Where a cut body looks complete, and the versions that were seen to do that. Caddy's was mended by its pull
request 5952."""


@pytest.mark.parametrize("variant", [*HTTP1, *HTTP2])
def test_the_error_event_passes(through: Callable[[str], Server], observer: Observer, variant: str) -> None:
    http2 = (PRIOR_KNOWLEDGE,) if variant in HTTP2 else ()
    seen = curl(through(variant).url + path(observer, "/sse/failing"), *http2)
    assert seen.code == CLEAN
    *chunks, last = [block for block in seen.body.split(b"\n\n") if block]
    assert len(chunks) == 3
    assert last.startswith(b"event: error\ndata: ")
    assert SECRET.encode() not in seen.body
    observer.wait_ended(1, "failed")


@pytest.mark.parametrize("variant", HTTP1)
def test_the_error_line_passes(through: Callable[[str], Server], observer: Observer, variant: str) -> None:
    seen = curl(through(variant).url + path(observer, "/ndjson/failing"))
    assert seen.code == CLEAN
    assert set(json.loads(seen.body.splitlines()[-1])) == {"error"}


@pytest.mark.parametrize("variant", HTTP1)
def test_a_cut_body_is_cut_for_the_client_too(
    through: Callable[[str], Server], observer: Observer, variant: str
) -> None:
    seen = curl(through(variant).url + path(observer, "/raw/failing"))
    assert seen.code == (CLEAN if _hides_cuts(variant) else TRUNCATED)
    assert seen.body == b"chunk 0chunk 1chunk 2"
    observer.wait_ended(1, "failed")


@pytest.mark.parametrize("variant", HTTP2)
def test_a_cut_body_is_a_reset_stream_over_http2(
    through: Callable[[str], Server], observer: Observer, variant: str
) -> None:
    with Http2(through(variant)) as client:
        client.request(path(observer, "/raw/failing"))
        client.read_to_end()
        assert (client.ended == "clean") == _hides_cuts(variant)


def _hides_cuts(variant: str) -> bool:
    kind = BY_NAME[variant].kind
    versions = HIDDEN_CUTS.get(variant, HIDDEN_CUTS.get(kind, ()))
    return _version(kind).startswith(versions) if versions else False


@cache
def _version(kind: str) -> str:
    argument = {"caddy": "version", "haproxy": "-v"}[kind]
    words = subprocess.run(
        [executable(kind), argument], capture_output=True, text=True, check=True
    ).stdout.split()
    return next(word.lstrip("v") for word in words if word.lstrip("v")[0].isdigit())


@pytest.mark.parametrize("variant", HTTP1)
@pytest.mark.parametrize(
    ("what", "status", "body"), [("teapot", 418, b"short and stout"), ("bug", 500, b"Internal Server Error")]
)
def test_an_error_before_the_first_chunk_keeps_its_status(  # noqa: PLR0917 - parameters of the case
    through: Callable[[str], Server], observer: Observer, variant: str, what: str, status: int, body: bytes
) -> None:
    with connect(through(variant)) as client:
        client.request(path(observer, "/sse/early", what=what))
        head = client.read_head()
        assert head.status == status
        assert head.headers.get("x-tea") == ("pot" if what == "teapot" else None)
        assert body in client.read_until(body)


@pytest.mark.parametrize("variant", HTTP1)
def test_204_passes(through: Callable[[str], Server], variant: str) -> None:
    with connect(through(variant)) as client:
        client.request("/nothing")
        assert client.read_head().status == 204
