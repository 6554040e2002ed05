"""Whole answers, read with the standard library: pages, and one stream read strictly before any counting."""

from __future__ import annotations

import json
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

from benchmarks.event import token
from benchmarks.harness.process import BenchmarkError

LIMIT = 30.0  # seconds


def get(port: int, path: str) -> bytes:
    """The body of one answer, on a connection of its own; BenchmarkError when there is none."""
    connection = HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, HTTPException) as error:
        raise BenchmarkError(f"GET {path}: {error!r}") from error
    finally:
        connection.close()
    if answer.status != HTTPStatus.OK:
        raise BenchmarkError(f"GET {path}: {answer.status} {body[:200]!r}")
    return body


def check(port: int, path: str, count: int = 10) -> None:
    """Read a stream of `count` events whole, and raise BenchmarkError unless they are the right ones."""
    lines = get(port, f"{path}?{count}").decode().splitlines()
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    if events != [token(index) for index in range(count)]:
        raise BenchmarkError(f"GET {path}?{count}: wrong events: {lines[:6]}")
