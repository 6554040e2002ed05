"""Every snippet in the documentation is a program: each one is run, and answers."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import httpx
import pytest

from endwell.types import Receive, Scope, Send

SNIPPETS = Path(__file__).parents[2] / "docs" / "snippets"

ANSWERS = {
    # snippet: path, how its answer begins, how it ends
    "first_stream.py": ("/count", 'data: {"number":0}\n\n', 'data: {"number":9}\n\n'),
    "plain_handler.py": ("/answer", '{"answer":42}', ""),
    "export.py": ("/squares.csv", "1,1\r\n2,4\r\n", "1000,1000000\r\n"),
    "dialects.py": ("/words", "data: one\n\n", 'event: sorry\ndata: {"why": "quota_exceeded"}\n\n'),
    "endings.py": ("/words", '"well"\n', '"done"\n'),
    "finishing.py": ("/story", '"once"\n', '"time"\n'),
    "event_source.py": ("/progress", "retry: ", 'data: {"chunks":3}\n\n'),
    "stopping.py": ("/", "<!doctype html>", "</script>\n"),
    "admission.py": ("/countdown", "data: 10\n\n", "data: 1\n\n"),
    "goodbye.py": ("/feed?most=2", "event: tick\ndata: 0\n\n", "event: tick\ndata: 1\n\n"),
    "deploying.py": ("/ready", '{"status":"ready"}', ""),
}


ELSEWHERE = "databases_"
"""Those that begin so need a database: tests/upstreams runs them."""


@pytest.mark.parametrize(
    "snippet", sorted(path.name for path in SNIPPETS.glob("*.py") if not path.name.startswith(ELSEWHERE))
)
async def test_a_snippet_runs_and_answers(snippet: str) -> None:
    path, beginning, end = ANSWERS[snippet]
    response = await get(runpy.run_path(str(SNIPPETS / snippet))["app"], path)
    assert response.status_code == 200
    assert response.text.startswith(beginning)
    assert response.text.endswith(end)


async def get(app: Any, path: str) -> httpx.Response:
    """One request to an application whose lifespan runs, as under a server."""
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "state": dict(state or {})}, receive, send)

        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(with_state), base_url="http://test"
        ) as client:
            return await client.get(path)
