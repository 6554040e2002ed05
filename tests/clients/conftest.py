"""One real server for all clients, the npm packages, and Chromium."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from tests.clients import programs
from tests.demo.conftest import chromium  # noqa: F401 - a fixture
from tests.servers.observer import Observer
from tests.servers.servers import CONFIGS, Server, running

Found = TypeVar("Found")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """uvicorn, serving tests/clients/app.py."""
    log = tmp_path_factory.mktemp("clients") / "server.log"
    with running(CONFIGS[0], "tests.clients.app:app", log) as started:
        yield started


@pytest.fixture
def observer(server: Server) -> Iterator[Observer]:
    """This test's view of the server, which must have outlived it."""
    observer = Observer(server)
    yield observer
    assert server.alive()


@pytest.fixture(scope="session")
def curl() -> str:
    """The path of curl."""
    return _found(programs.curl)


@pytest.fixture(scope="session")
def node() -> str:
    """The path of Node."""
    return _found(programs.node)


@pytest.fixture(scope="session")
def packages(node: str) -> Path:
    """The folder with the npm packages and the scripts."""
    return _found(programs.installed)


def _found(find: Callable[[], Found]) -> Found:
    """What `find` finds. Without it the test is skipped, but fails in CI, where it has to be there."""
    try:
        return find()
    except programs.Missing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing))
        pytest.skip(str(missing))
