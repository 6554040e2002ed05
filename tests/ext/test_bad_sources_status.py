"""What the framework itself answers with a 4xx is the client's mistake; an upstream's 4xx is a failure."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI, HTTPException

from endwell import Outcome, Streams
from tests.ext.visits import Client, Endings


class UpstreamError(Exception):
    """As clients of other servers have it: the status is the other server's."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status_code = status
        self.response = object()
        self.body = {"error": "no such key"}


def application(error: Exception) -> tuple[FastAPI, Endings]:
    streams = Streams()
    app = FastAPI()

    @app.get("/")
    @streams.sse
    async def source() -> AsyncIterator[str]:
        raise error
        yield "never"

    return app, Endings(streams)


@pytest.mark.parametrize("status", [400, 401, 404, 429])
async def test_an_upstreams_4xx_is_a_failure_with_its_traceback_in_the_log(
    caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level(logging.INFO, "endwell")
    error = UpstreamError(status)
    app, endings = application(error)
    client = Client(app)
    assert await client.over() is error
    assert client.status == 500
    ending = await endings.only()
    assert (ending.outcome, ending.error) == (Outcome.FAILED, error)
    (record,) = [record for record in caplog.records if record.name == "endwell"]
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.exc_info[1] is error


@pytest.mark.parametrize("status", [400, 404, 429])
async def test_an_answer_of_the_sources_own_is_no_error(
    caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level(logging.INFO, "endwell")
    app, _ = application(HTTPException(status))
    client = Client(app)
    await client.finished()
    assert client.status == status
    (record,) = [record for record in caplog.records if record.name == "endwell"]
    assert record.levelno == logging.INFO
