"""How a stream ended, as curl sees it: a failure never looks like success, behind a middleware or not."""

from __future__ import annotations

import json

import pytest

from tests.servers.client import CLEAN, TRUNCATED, connect, curl
from tests.servers.observer import Observer
from tests.servers.sources import CHUNKS, SECRET

BARE_OR_BEHIND = pytest.mark.parametrize("prefix", ["", "/base"])
FORMATS = ["sse", "ndjson", "raw"]


@BARE_OR_BEHIND
@pytest.mark.parametrize("name", FORMATS)
def test_a_completed_stream_ends_clean(observer: Observer, prefix: str, name: str) -> None:
    seen = curl(observer.url(f"{prefix}/{name}/numbers"))
    assert seen.code == CLEAN
    assert seen.body.count(b"chunk") == CHUNKS
    assert b"error" not in seen.body
    observer.wait_ended(1, "completed")


@pytest.mark.parametrize("prefix", ["", "/base", "/gzip"])
def test_a_failed_raw_stream_is_visibly_cut(observer: Observer, prefix: str) -> None:
    seen = curl(observer.url(f"{prefix}/raw/failing"), "--compressed")
    assert seen.code == TRUNCATED
    assert seen.body == b"chunk 0chunk 1chunk 2"
    observer.wait_ended(1, "failed")


@BARE_OR_BEHIND
def test_a_failed_sse_stream_ends_with_an_error_event(observer: Observer, prefix: str) -> None:
    seen = curl(observer.url(f"{prefix}/sse/failing"))
    assert seen.code == CLEAN
    *chunks, last = [block for block in seen.body.split(b"\n\n") if block]
    assert [block.split(b"\n")[-1] for block in chunks] == [b"data: chunk %d" % n for n in range(CHUNKS)]
    fields = dict(line.split(b": ", 1) for line in last.split(b"\n"))
    assert fields[b"event"] == b"error"
    _check_error(observer, json.loads(fields[b"data"]), seen.body)


@BARE_OR_BEHIND
def test_a_failed_ndjson_stream_ends_with_an_error_line(observer: Observer, prefix: str) -> None:
    seen = curl(observer.url(f"{prefix}/ndjson/failing"))
    assert seen.code == CLEAN
    *chunks, last = [json.loads(line) for line in seen.body.splitlines() if line]
    assert chunks == [f"chunk {number}" for number in range(CHUNKS)]
    _check_error(observer, last["error"], seen.body)


def _check_error(observer: Observer, error: dict[str, str], body: bytes) -> None:
    """A fixed code, and the reference under which the log holds the exception; never its text."""
    assert set(error) == {"code", "message", "ref"}
    assert SECRET.encode() not in body
    (record,) = observer.wait_ended(1, "failed")
    assert record["endings"][0]["reference"] == error["ref"]
    observer.wait("in the log", lambda _: error["ref"] in observer.log() and SECRET in observer.log())


@BARE_OR_BEHIND
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("what", "status", "body"),
    [
        ("teapot", 418, b'{"detail":"short and stout"}'),
        ("broken", 409, b'{"problem":"Broken"}'),
        ("bug", 500, b"Internal Server Error"),
    ],
)
def test_an_error_before_the_first_chunk_is_a_real_http_error(  # noqa: PLR0917 - parameters of the case
    observer: Observer, prefix: str, name: str, what: str, status: int, body: bytes
) -> None:
    with connect(observer.server) as client:
        client.request(observer.path(f"{prefix}/{name}/early") + f"&what={what}")
        head = client.read_head()
        assert head.status == status
        assert head.headers.get("x-tea") == ("pot" if what == "teapot" else None)
        assert not head.headers["content-type"].startswith("text/event-stream")
        assert client.read_until(body) == body
    observer.wait_ended(1, "failed")


def test_a_connection_is_kept_for_the_next_request(observer: Observer) -> None:
    with connect(observer.server) as client:
        for _ in range(2):
            client.request(observer.path("/sse/numbers"))
            client.read_to_end()
            assert client.complete
            assert client.ended is None
            client.start_over()
    observer.wait_ended(2, "completed")
