"""Five stories: a chat, a plain endpoint, an export, an error before the first chunk, one after."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionUserMessageParam

from tests.servers.client import CLEAN, Connection, connect, curl
from tests.servers.observer import DEADLINE, LATENCIES, Observer, get_json
from tests.servers.servers import Server
from tests.servers.sources import CHUNKS, EXPORTED, SECRET

BARE_OR_BEHIND = pytest.mark.parametrize("prefix", ["", "/base"])
READERS = 3
"""Readers of a chat that leave, one after the other."""


# -- chat: an upstream's tokens, relayed ---------------------------------------------------------------------


def _post(client: Connection, path: str, **fields: object) -> None:
    client.request(path, method="POST", body=json.dumps(fields).encode())


def _upstream_connections(
    upstream: Server, tag: str, ready: Callable[[dict[str, Any]], bool]
) -> list[dict[str, Any]]:
    """Poll until the upstream has a connection for `tag` and all of them are `ready`."""
    deadline = time.monotonic() + DEADLINE
    while True:
        found: list[dict[str, Any]] = get_json(upstream, f"/connections?user={tag}")
        if found and all(ready(connection) for connection in found):
            return found
        assert time.monotonic() < deadline, f"the upstream's connections: {found}"
        time.sleep(0.01)


@BARE_OR_BEHIND
@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("model", ["steady", "silent"])
def test_the_upstream_of_a_chat_is_closed_when_the_reader_leaves(  # noqa: PLR0917 - parameters of the case
    observer: Observer,
    upstream: Server,
    prefix: str,
    how: str,
    model: str,
    record_property: Callable[[str, object], None],
) -> None:
    milliseconds = [
        _chat_and_leave(Observer(observer.server), upstream, prefix, how, model) for _ in range(READERS)
    ]
    behind = " behind BaseHTTPMiddleware" if prefix else ""
    record_property(LATENCIES, (f"chat, {model}{behind}: to the upstream's close", milliseconds))


def _chat_and_leave(observer: Observer, upstream: Server, prefix: str, how: str, model: str) -> float:
    with connect(observer.server) as client:
        _post(client, f"{prefix}/chat", model=model, tag=observer.tag)
        if model == "steady":
            client.read_until(b'{"token":', 3)
        _upstream_connections(upstream, observer.tag, lambda _: True)
        left = client.leave(how)
        (closed,) = _upstream_connections(
            upstream, observer.tag, lambda connection: connection["closed"] is not None
        )
        observer.wait_ended(1, "client_gone")
    elapsed: float = (closed["closed"] - left) / 1e6
    return elapsed


@BARE_OR_BEHIND
def test_a_chat_that_is_read_to_its_end_is_complete(observer: Observer, prefix: str) -> None:
    with connect(observer.server) as client:
        _post(client, f"{prefix}/chat", model="short", tag=observer.tag)
        body = client.read_to_end()
        assert client.complete
    assert b"".join(body.split()) == b"".join(b'data:{"token":"word%d"}' % number for number in range(3))
    observer.wait_ended(1, "completed")


@BARE_OR_BEHIND
def test_an_upstream_that_fails_in_mid_chat_is_an_error_to_the_reader(
    observer: Observer, prefix: str
) -> None:
    with connect(observer.server) as client:
        _post(client, f"{prefix}/chat", model="fails", tag=observer.tag)
        body = client.read_to_end()
        assert client.complete
    assert b"event: error" in body
    assert b"overloaded" not in body
    (record,) = observer.wait_ended(1, "failed")
    assert "APIError" in record["endings"][0]["error"]


# -- a plain JSON endpoint -----------------------------------------------------------------------------------

PLAIN = pytest.mark.parametrize("path", ["/embed", "/rank", "/base/embed", "/base/rank"])


@PLAIN
@pytest.mark.parametrize("how", ["fin", "rst"])
def test_the_work_of_a_plain_endpoint_stops_when_the_client_leaves(
    observer: Observer, path: str, how: str
) -> None:
    observer.forget_others()
    with connect(observer.server) as client:
        _post(client, path, tag=observer.tag)
        observer.wait_started(1)
        client.leave(how)
        (record,) = observer.wait("cleaned up", lambda records: records[0]["done"] is not None)
    assert record["left"] == "CancelledError"
    observer.wait("logged as 499", lambda _: "499" in observer.log())
    assert "Traceback" not in observer.log()


@PLAIN
def test_a_plain_endpoint_whose_client_stays_answers(observer: Observer, path: str) -> None:
    with connect(observer.server) as client:
        _post(client, path, tag=observer.tag, seconds=0.01)
        assert client.read_head().status == 200
        assert client.read_to_end() == b'{"worked":0.01}'
    (record,) = observer.records()
    assert record["left"] is None
    assert record["done"] is not None


# -- an export -----------------------------------------------------------------------------------------------


@BARE_OR_BEHIND
def test_an_export_from_a_database_arrives_whole(observer: Observer, prefix: str) -> None:
    seen = curl(observer.url(f"{prefix}/ndjson/unicode_rows"))
    assert seen.code == CLEAN
    rows = [json.loads(line) for line in seen.body.split(b"\n") if line]
    assert rows == [{"point": point, "letter": chr(point)} for point in range(1, EXPORTED + 1)]
    observer.wait_ended(1, "completed")


@BARE_OR_BEHIND
def test_an_export_whose_reader_leaves_closes_its_cursor(observer: Observer, prefix: str) -> None:
    with connect(observer.server, receive_buffer=4096) as client:
        client.request(observer.path(f"{prefix}/ndjson/unicode_rows") + "&rounds=1000")
        client.read_until(b'"point":3')
        client.rst()
        (record,) = observer.wait_ended(1, "client_gone")
    assert record["left"] == "GeneratorExit"


# -- an error, as a client library sees it -------------------------------------------------------------------


@BARE_OR_BEHIND
def test_an_error_before_the_first_chunk_is_a_status_error_to_the_openai_client(
    observer: Observer, prefix: str
) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        _tokens_by_openai(observer, prefix, "refuses")
    assert caught.value.status_code == 429
    observer.wait_ended(1, "failed")


@BARE_OR_BEHIND
def test_a_cut_is_an_error_to_the_openai_client(observer: Observer, prefix: str) -> None:
    tokens: list[str] = []
    with pytest.raises(openai.APIConnectionError):
        _tokens_by_openai(observer, prefix, "breaks", tokens)
    assert tokens == [str(number) for number in range(CHUNKS)]
    observer.wait_ended(1, "failed")


def _tokens_by_openai(observer: Observer, prefix: str, model: str, tokens: list[str] | None = None) -> None:
    prompt = ChatCompletionUserMessageParam(role="user", content="Tell me a story.")
    base = f"{observer.server.url}{prefix}/v1"
    with (
        OpenAI(base_url=base, api_key="none", max_retries=0) as client,
        client.chat.completions.create(
            model=model, messages=[prompt], stream=True, user=observer.tag
        ) as answer,
    ):
        for chunk in answer:
            assert tokens is not None
            tokens.append(chunk.choices[0].delta.content or "")


@BARE_OR_BEHIND
def test_a_cut_is_an_error_to_httpx(observer: Observer, prefix: str) -> None:
    with (
        pytest.raises(httpx.RemoteProtocolError),
        httpx.stream("GET", observer.url(f"{prefix}/raw/failing")) as response,
    ):
        response.read()
    observer.wait_ended(1, "failed")


@BARE_OR_BEHIND
def test_an_error_in_mid_stream_is_an_event_to_httpx(observer: Observer, prefix: str) -> None:
    response = httpx.get(observer.url(f"{prefix}/sse/failing"))
    *_, event, data = [line for line in response.text.split("\n") if line]
    assert event == "event: error"
    assert SECRET not in data
    observer.wait_ended(1, "failed")
