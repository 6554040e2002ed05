"""An EventSource that comes back: to what is over, to what is not, and to a server that is going away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI

from endwell import ConfigurationError, Event, EventStream, Policy, Streams, current_stream
from tests.ext.visits import Client, Endings

EVENT_SOURCE = [(b"accept", b"text/event-stream")]


def application(**options: Any) -> tuple[FastAPI, Streams, list[str | None]]:
    app, streams = FastAPI(), Streams(**options)
    asked: list[str | None] = []

    @app.get("/{how}")
    @streams.sse(resume_token=True)
    async def events(how: str) -> AsyncIterator[str | Event]:
        asked.append(current_stream().last_event_id)
        yield "a"
        yield Event("b", id="mine") if how == "ids" else "b"
        match how:
            case "failing":
                raise LookupError
            case "stopped":
                current_stream().stop()
            case "endless":
                await asyncio.sleep(1000)

    return app, streams, asked


def ids(client: Client) -> list[str]:
    return [line[4:].decode() for line in client.body.split(b"\n") if line.startswith(b"id: ")]


async def seen_by_a_browser(app: FastAPI, path: str, *, last: str | None = None) -> Client:
    headers = [*EVENT_SOURCE, *([(b"last-event-id", last.encode())] if last else [])]
    client = Client(app, path, headers=headers)
    await client.over()
    return client


async def test_events_have_ids_the_first_a_retry_and_the_end_is_marked() -> None:
    app, _, _ = application()
    client = await seen_by_a_browser(app, "/complete")
    token, _, number = ids(client)[0].partition("-")
    assert ids(client) == [f"{token}-1", f"{token}-2", f"{token}-end"]
    assert number == "1"
    assert client.data == ["a", "b", '{"chunks":2}']
    assert client.events == ["end"]
    (retry,) = [line for line in client.body.split(b"\n") if line.startswith(b"retry: ")]
    assert 1000 <= int(retry.removeprefix(b"retry: ")) <= 3000
    assert client.frames[0].startswith(retry)
    assert b"data: " in client.frames[0]


@pytest.mark.parametrize("how", ["complete", "failing", "stopped"])
async def test_who_has_seen_the_end_is_not_given_it_again(how: str) -> None:
    app, streams, asked = application()
    endings = Endings(streams)
    first = await seen_by_a_browser(app, f"/{how}")
    assert ids(first)[-1].endswith("-end")
    again = await seen_by_a_browser(app, f"/{how}", last=ids(first)[-1])
    assert (again.status, again.body, again.complete) == (204, b"", True)
    assert len(asked) == 1
    await endings.only()


async def test_who_was_interrupted_starts_over_and_the_source_is_told_where() -> None:
    app, _, asked = application(policy=Policy(total=5))
    first = await seen_by_a_browser(app, "/endless")
    assert json.loads(first.data[-1])["code"] == "total_timeout"
    last = ids(first)[-1]
    assert last.endswith("-2")
    again = await seen_by_a_browser(app, "/endless", last=last)
    assert again.status == 200
    assert asked == [None, last]


async def test_an_events_own_id_has_the_last_word() -> None:
    app, _, _ = application()
    client = await seen_by_a_browser(app, "/ids")
    assert ids(client)[2] == "mine"
    assert client.frames[1].endswith(b"id: mine\ndata: b")


@pytest.mark.parametrize(
    "forged",
    [b"", b"\0", b"\x1b[2J", b"\xff", b"x" * 70_000, b"-end", b"g" * 24 + b"-end", b"0" * 24 + b"-end\n"],
    ids=lambda value: repr(value[:12]),
)
async def test_anything_else_that_a_client_may_send_starts_over(forged: bytes) -> None:
    app, _, asked = application()
    client = Client(app, "/complete", headers=[(b"last-event-id", b"1"), (b"last-event-id", forged)])
    await client.finished()
    assert client.status == 200
    assert asked == [forged.decode() if forged and forged != b"\xff" else None]


async def test_without_the_token_nothing_is_numbered_and_every_reconnect_starts_over() -> None:
    async def source() -> AsyncIterator[str]:
        yield "a"

    client = Client(EventStream(source()), headers=[(b"last-event-id", b"0" * 24 + b"-end")])
    await client.finished()
    assert client.body == b"data: a\n\n"


def test_the_token_is_a_switch() -> None:
    with pytest.raises(ConfigurationError, match="resume_token must be True or False, got 'yes'"):
        EventStream([], resume_token="yes")  # type: ignore[arg-type]


@pytest.mark.parametrize("dialect", ["openai-chat", "openai-responses", "anthropic", "ai-sdk", "ag-ui"])
def test_the_token_is_not_for_clients_that_are_no_event_source(dialect: str) -> None:
    with pytest.raises(ConfigurationError, match=f"to clients of '{dialect}' its end is no event"):
        EventStream([], resume_token=True, dialect=dialect)


async def test_an_applications_dialect_gives_way_to_it() -> None:
    app, _, _ = application(dialect="openai-chat")
    client = await seen_by_a_browser(app, "/failing")
    assert json.loads(client.data[-1])["code"] == "internal_error"
    assert client.events == ["error"]


# -- a server that is going away -----------------------------------------------------------------------------


@pytest.mark.parametrize("soft", [True, False])
async def test_an_event_source_can_be_refused_so_that_it_comes_back(soft: bool) -> None:
    app, streams, asked = application(policy=Policy(soft_refusal=soft))
    streams._registry.drain()
    client = await seen_by_a_browser(app, "/complete")
    assert asked == []
    if soft:
        assert client.status == 200
        assert client.headers["content-type"].startswith("text/event-stream")
        assert client.body.startswith(b"retry: ")
        assert 1000 <= int(client.body.removeprefix(b"retry: ")) <= 3000
        assert client.complete
    else:
        assert client.status == 503


async def test_others_are_refused_with_a_status() -> None:
    app, streams, _ = application(policy=Policy(soft_refusal=True))
    streams._registry.drain()
    client = Client(app, "/complete", headers=[(b"accept", b"application/json")])
    await client.finished()
    assert client.status == 503
    assert client.json()["error"]["code"] == "drained"
