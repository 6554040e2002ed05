"""httpx with httpx-sse."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from httpx_sse import ServerSentEvent, connect_sse

from tests.clients.families import RETRY
from tests.clients.telling import SECRET, asked, assert_cancelled
from tests.servers.observer import Observer


@pytest.fixture
def client(observer: Observer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=observer.server.url) as client:
        yield client


def read(client: httpx.Client, observer: Observer, story: str) -> list[ServerSentEvent]:
    with connect_sse(client, "GET", "/events", headers=asked(observer, story)) as source:
        return list(source.iter_sse())


def test_ids_heartbeats_and_a_retry_disturb_nothing(client: httpx.Client, observer: Observer) -> None:
    events = read(client, observer, "whole")
    said = [(event.event, event.json()["text"], event.id, event.retry) for event in events]
    assert said == [
        ("message", "one ", "0", RETRY),
        ("message", "two ", "1", None),
        ("message", "three", "2", None),
    ]


def test_an_error_in_mid_stream_is_its_last_event(client: httpx.Client, observer: Observer) -> None:
    *words, last = read(client, observer, "fails")
    assert [event.event for event in words] == ["message", "message"]
    said = json.loads(last.data)
    assert (last.event, said["code"], said["message"]) == ("error", "internal_error", "The stream failed.")
    assert SECRET not in last.data


def test_a_failure_that_cannot_be_told_is_raised(client: httpx.Client, observer: Observer) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        read(client, observer, "fails-torn")


def test_an_error_before_the_first_word_has_its_status(client: httpx.Client, observer: Observer) -> None:
    response = client.get("/events", headers=asked(observer, "refuses"))
    assert (response.status_code, response.json()["error"]["code"]) == (429, "quota_exceeded")


def test_leaving_its_block_cancels_the_source(client: httpx.Client, observer: Observer) -> None:
    with connect_sse(client, "GET", "/events", headers=asked(observer, "endless")) as source:
        next(source.iter_sse())
    assert_cancelled(observer)


def test_ids_for_a_reconnect_come_with_every_event(client: httpx.Client, observer: Observer) -> None:
    *words, end = read(client, observer, "plain-resumed")
    token = end.id.removesuffix("-end")
    assert [event.id for event in words] == [f"{token}-{number}" for number in (1, 2, 3)]
    assert (words[0].retry, end.event, end.json()) == (100, "end", {"chunks": 3})


def test_who_has_seen_the_end_has_nothing_to_come_back_for(client: httpx.Client, observer: Observer) -> None:
    seen = read(client, observer, "plain-resumed")[-1].id
    headers = {**asked(observer, "plain-resumed"), "last-event-id": seen}
    assert client.get("/events", headers=headers).status_code == 204
    assert len(observer.records()) == 1
