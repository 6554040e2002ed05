"""One process per proxy variant and one backend, started on first use, stopped at the end."""

from __future__ import annotations

import json
import os
import shutil
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.proxies.reading import MEASURED, Measure, Observer
from tests.proxies.variants import BY_NAME, Proxy, executable
from tests.servers.servers import CONFIGS, ROOT, Server, start

ARTEFACT = ROOT / ".cache" / "proxies.json"


class Pool:
    """The running processes, by name."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: dict[str, Server] = {}
        self._used: set[str] = set()

    def backend(self) -> Server:
        """The uvicorn behind all proxies."""
        if "backend" not in self._running:
            log = self._directory / "backend.log"
            self._running["backend"] = start(CONFIGS[0], "tests.proxies.app:app", log)
        return self._running["backend"]

    def proxy(self, name: str) -> Server:
        """A proxy by its variant's name."""
        proxy = BY_NAME[name]
        need(proxy)
        if name not in self._running:
            here = replace(proxy, directory=self._directory / name)
            log = self._directory / f"{name}.log"
            self._running[name] = start(here, str(self.backend().port), log)
        return self._running[name]

    def stop(self) -> None:
        """Stop all of them, together: the proxies first, so that the backend has nobody to wait for."""
        for server in reversed(self._running.values()):
            server.terminate()
        for server in reversed(self._running.values()):
            server.stop()


def need(proxy: Proxy) -> None:
    """Skip without the proxy; fail where nothing may be missing."""
    for command in (executable(proxy.kind), "curl"):
        if shutil.which(command) is None:
            missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
            missing(f"{command} is not installed (Debian's package has the same name)")


@pytest.fixture(scope="session")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """The processes of this session."""
    pool = Pool(tmp_path_factory.mktemp("proxies"))
    yield pool
    pool.stop()


@pytest.fixture
def through(proxies: Pool) -> Callable[[str], Server]:
    """A proxy by its variant's name, which every client here connects to."""
    return proxies.proxy


@pytest.fixture
def observer(proxies: Pool) -> Iterator[Observer]:
    """This test's view of the backend, which must have outlived it."""
    backend = proxies.backend()
    yield Observer(backend)
    assert backend.alive()


@pytest.fixture
def measure(record_property: Callable[[str, object], None]) -> Measure:
    """Hand in (what, through which variant, values, unit) for the table at the end."""

    def hand_in(what: str, variant: str, values: list[float], unit: str = "ms") -> None:
        record_property(MEASURED, (what, variant, values, unit))

    return hand_in


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured, and keep it as JSON."""
    table = _table(terminalreporter)
    if not table:
        return
    terminalreporter.section("through proxies")
    terminalreporter.write_line(f"{'':52}{'':18}{'n':>4}{'median':>10}{'max':>10}")
    for row in table:
        numbers = f"{row['n']:4d}{row['median']:10.1f}{row['max']:10.1f}"
        terminalreporter.write_line(f"{row['what']:52}{row['variant']:18}{numbers} {row['unit']}")
    ARTEFACT.parent.mkdir(exist_ok=True)
    ARTEFACT.write_text(json.dumps(table, indent=1) + "\n")


def _table(terminalreporter: pytest.TerminalReporter) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for name, value in getattr(report, "user_properties", []):
                if name == MEASURED:
                    what, variant, values, unit = value
                    groups[what, variant, unit] += values
    return [
        {
            "what": what,
            "variant": variant,
            "unit": unit,
            "n": len(values),
            "median": statistics.median(values),
            "max": max(values),
        }
        for (what, variant, unit), values in sorted(groups.items())
        if values
    ]
