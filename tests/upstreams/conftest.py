"""A PostgreSQL server, an HTTP upstream, and the application between them and the tests' clients."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.servers.servers import CONFIGS, Config, Server
from tests.servers.servers import running as serving
from tests.upstreams import postgres as server
from tests.upstreams.postgres import Postgres

MEASURED = "upstreams_ms"
"""The `record_property` name for (what, [ms, …]) in the table at the end."""


def _uvicorn(name: str = "uvicorn-httptools-uvloop") -> Config:
    return next(config for config in CONFIGS if config.name == name)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """One PostgreSQL server for all tests."""
    if server.binaries() is None:
        missing = "PostgreSQL is not installed (Debian: postgresql)"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    with server.running(tmp_path_factory.mktemp("postgres")) as running:
        yield running


@pytest.fixture(scope="session")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The HTTP server that the application reads from."""
    log = tmp_path_factory.mktemp("upstream") / "upstream.log"
    with serving(_uvicorn(), "tests.upstreams.upstream:app", log) as running:
        yield running


@pytest.fixture(
    scope="session",
    params=["uvicorn-httptools-uvloop", pytest.param("uvicorn-h11-asyncio", marks=pytest.mark.prove)],
)
def application(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    postgres: Postgres,
    upstream: Server,
) -> Iterator[Server]:
    """The application under test."""
    log = tmp_path_factory.mktemp("application") / "application.log"
    names = ("psycopg", "pages", "sqlalchemy", "asyncpg")
    env = {f"{name.upper()}_URL": postgres.url(name) for name in names}
    env["UPSTREAM_URL"] = upstream.url
    with serving(_uvicorn(request.param), "tests.upstreams.app:app", log, env) as running:
        yield running


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how long it took from a client's leaving."""
    rows = [
        value
        for report in terminalreporter.stats.get("passed", [])
        for name, value in getattr(report, "user_properties", [])
        if name == MEASURED
    ]
    if rows:
        terminalreporter.section("from a client's close, ms")
    for what, measured in sorted(rows):
        ordered = sorted(measured)
        terminalreporter.write_line(
            f"{what:60}{len(ordered):5d}{ordered[len(ordered) // 2]:9.1f}{ordered[-1]:9.1f}"
        )
