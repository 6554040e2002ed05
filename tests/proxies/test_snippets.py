"""The configurations that the documentation shows: accepted without a complaint, each line explained."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.proxies.conftest import need
from tests.proxies.variants import BY_NAME, FILES, SNIPPETS, Proxy, executable, snippet
from tests.servers.servers import ROOT, free_port

PAGE = ROOT / "docs" / "how-to" / "proxies.md"
NUMBER = re.compile(r"# (\d)$", re.MULTILINE)
CHECKS: dict[str, Callable[[list[str]], list[str]]] = {
    "nginx": lambda command: [*command, "-t"],
    "haproxy": lambda command: [*command, "-c"],
    "caddy": lambda command: ["validate" if word == "run" else word for word in command],
}
"""How each proxy's own command line becomes one that only looks at the configuration."""


@pytest.mark.parametrize("kind", FILES)
def test_a_proxy_accepts_its_documented_configuration(kind: str, tmp_path: Path) -> None:
    proxy = replace(BY_NAME[kind], directory=tmp_path / kind)
    need(proxy)
    checked = _check(proxy)
    assert checked.returncode == 0, checked.stderr
    assert "warn" not in (checked.stdout + checked.stderr).lower()


def _check(proxy: Proxy) -> subprocess.CompletedProcess[str]:
    command = CHECKS[proxy.kind](proxy.command(app=str(free_port()), port=free_port()))
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def test_the_caddyfile_is_formatted() -> None:
    need(BY_NAME["caddy"])
    formatting = [executable("caddy"), "fmt", str(SNIPPETS / "Caddyfile")]
    formatted = subprocess.run(formatting, capture_output=True, text=True, check=False).stdout
    assert formatted == snippet("caddy")


@pytest.mark.parametrize("kind", FILES)
def test_the_documentation_shows_the_file_that_is_tested(kind: str) -> None:
    assert BY_NAME[kind].site == ""
    shown = (PAGE.parent / f"../snippets/proxies/{FILES[kind]}").resolve()
    assert f"../snippets/proxies/{FILES[kind]}" in PAGE.read_text()
    assert shown == SNIPPETS / FILES[kind]


@pytest.mark.parametrize("kind", FILES)
def test_every_numbered_line_is_explained(kind: str) -> None:
    numbers = NUMBER.findall(snippet(kind))
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
    _, _, section = PAGE.read_text().partition(f"snippets/proxies/{FILES[kind]}")
    section, _, _ = section.partition("\n## ")
    explained = re.findall(r"^(\d)\. ", section, re.MULTILINE)
    assert explained == numbers
