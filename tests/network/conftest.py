"""Real servers that serve a real network, one process per configuration, all started together."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.network.namespace import Namespace
from tests.servers.observer import get_json
from tests.servers.servers import CONFIGS, HOST, Config, Server, start

VANISHED = 4.0
"""Seconds: the servers' promise about clients that vanish."""
MARGIN = 3.0
"""Seconds for a busy machine."""


def _everywhere(config: Config) -> Config:
    """The configuration, listening on every address."""
    args = (arg.replace("{host}", "0.0.0.0") for arg in config.args)
    return dataclasses.replace(config, args=tuple(args))


SERVERS = tuple(_everywhere(config) for config in CONFIGS if find_spec(config.package) is not None)
FLEET = tuple(config for config in SERVERS if config.package != "daphne")
"""Those whose clients vanish together. daphne begins to answer when it has read the request only."""


def launch(config: Config, logs: Path, *, vanished: float = VANISHED) -> Server:
    """Start a server with the application under test."""
    return start(config, "tests.network.app:app", logs / f"{config.name}.log", {"VANISHED": str(vanished)})


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """All servers."""
    if os.environ.get("CI") == "true":
        assert len(SERVERS) == len(CONFIGS)
    logs = tmp_path_factory.mktemp("network")
    with ThreadPoolExecutor(3) as pool:
        starting = [pool.submit(launch, config, logs) for config in FLEET]
    servers = [each.result() for each in starting if each.exception() is None]
    try:
        for each in starting:
            each.result()
        yield servers
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            server.stop()


@pytest.fixture(scope="session")
def elsewhere() -> Iterator[Namespace]:
    """Where clients are that can vanish."""
    reason = Namespace.why_not()
    if reason is not None and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason is not None:
        pytest.skip(reason)
    namespace = Namespace(0)
    try:
        namespace.open()
        yield namespace
    finally:
        namespace.close()


def ended(server: Server, key: str, within: float) -> dict[str, Any]:
    """The one ending of the stream that a test calls `key`; fails if there is none after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        report = get_json(server, "/report")
        endings: list[dict[str, Any]] = [each for each in report["endings"] if each["key"] == key]
        if endings:
            assert len(endings) == 1
            return endings[0]
        assert time.monotonic() < deadline, f"{server.name}: {key} has not ended\n{server.output()[-2000:]}"
        time.sleep(0.05)


def eventually(condition: Callable[[], bool], within: float = 3.0) -> bool:
    """Whether the condition becomes true in time."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


__all__ = ["FLEET", "HOST", "MARGIN", "VANISHED", "ended", "eventually", "launch"]
