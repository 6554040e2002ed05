"""Real servers for the tests: one process per configuration, started on first use, stopped at the end."""

from __future__ import annotations

import json
import os
import shutil
import statistics
from collections import defaultdict
from collections.abc import Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.servers.observer import LATENCIES, Observer
from tests.servers.servers import CONFIGS, ROOT, Config, Server, start

ARTEFACT = ROOT / ".cache" / "servers-latency.json"
OBSERVER = pytest.StashKey[Observer]()


class Pool:
    """The running servers, by name."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: dict[str, Server] = {}

    def upstream(self) -> Server:
        """The model's stand-in that the chat story calls."""
        return self._get("upstream", CONFIGS[0], "tests.servers.upstream:app", {})

    def application(self, config: Config) -> Server:
        """The application under test."""
        env = {"UPSTREAM_URL": self.upstream().url + "/v1"}
        return self._get(config.name, config, "tests.servers.app:app", env)

    def _get(self, name: str, config: Config, app: str, env: dict[str, str]) -> Server:
        if name not in self._running:
            self._running[name] = start(config, app, self._logs / f"{name}.log", env)
        return self._running[name]

    def stop(self) -> None:
        """Stop all of them, together."""
        for server in self._running.values():
            server.terminate()
        for server in self._running.values():
            server.stop()


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """The servers of this session."""
    servers = Pool(tmp_path_factory.mktemp("servers"))
    yield servers
    servers.stop()


@pytest.fixture(params=CONFIGS, ids=lambda config: config.name)
def server(request: pytest.FixtureRequest, pool: Pool) -> Server:
    """Each server configuration in turn."""
    config: Config = request.param
    _need(find_spec(config.package) is not None, config.package)
    _need(shutil.which("curl") is not None, "curl")
    return pool.application(config)


@pytest.fixture
def observer(request: pytest.FixtureRequest, server: Server) -> Iterator[Observer]:
    """This test's view of the server, which must have outlived it."""
    seen = request.node.stash[OBSERVER] = Observer(server)
    yield seen
    assert server.alive()


@pytest.fixture
def upstream(pool: Pool) -> Server:
    """The server that the chat story calls."""
    return pool.upstream()


def _need(there: bool, what: str) -> None:
    if not there and os.environ.get("CI") == "true":
        pytest.fail(f"{what} is not installed")
    if not there:
        pytest.skip(f"{what} is not installed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the server wrote during a test that failed."""
    report = yield
    observer = item.stash.get(OBSERVER, None)
    if observer is not None and report.failed:
        report.sections.append((f"Output of {observer.server.name}", observer.log()[-5000:]))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how long it took from a client's leaving until its source's `finally`, and keep it as JSON."""
    table = _table(_collect(terminalreporter))
    if not table:
        return
    terminalreporter.section("from a client's close, ms")
    terminalreporter.write_line(f"{'':52}{'n':>6}{'p50':>9}{'p99':>9}{'max':>9}")
    for row in table:
        numbers = "".join(f"{row[name]:9.2f}" for name in ("p50", "p99", "max"))
        terminalreporter.write_line(f"{row['group']:52}{row['n']:6d}{numbers}")
    ARTEFACT.parent.mkdir(exist_ok=True)
    ARTEFACT.write_text(json.dumps(table, indent=1) + "\n")


def _collect(terminalreporter: pytest.TerminalReporter) -> dict[str, list[float]]:
    groups: dict[str, list[float]] = defaultdict(list)
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for name, value in getattr(report, "user_properties", []):
                if name == LATENCIES:
                    group, milliseconds = value
                    groups[group] += milliseconds
    return groups


def _table(groups: dict[str, list[float]]) -> list[dict[str, Any]]:
    return [{"group": group, "n": len(ms), **_quantiles(ms)} for group, ms in sorted(groups.items()) if ms]


def _quantiles(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100, method="inclusive") if len(values) > 1 else values * 99
    return {"p50": cuts[49], "p99": cuts[98], "max": max(values)}
