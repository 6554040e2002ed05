"""The programs that clients are, or run in; and the npm packages, installed below .cache on first use."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

from tests.servers.servers import ROOT

HERE = Path(__file__).parent
OLDEST_NODE = 20
INSTALL_WITHIN = 240
"""Seconds for the download of 120 MB."""


class Missing(Exception):
    """Something is not installed, and cannot be; the message names it."""


def curl() -> str:
    """The path of curl.

    Raises:
        Missing: there is none.
    """
    if (path := shutil.which("curl")) is None:
        raise Missing("needs curl (Debian's package curl)")
    return path


def node() -> str:
    """The path of Node.

    Raises:
        Missing: there is none, or an old one, or no npm.
    """
    path = shutil.which("node")
    if path is None or shutil.which("npm") is None or _major(path) < OLDEST_NODE:
        raise Missing(f"needs Node {OLDEST_NODE} or newer, and npm (Debian's packages nodejs and npm)")
    return path


def _major(node: str) -> int:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    return int(said.lstrip("v").partition(".")[0])


def installed() -> Path:
    """A folder with `node_modules` in it, as package-lock.json wants them, and with the scripts.

    Raises:
        Missing: npm could not install them.
    """
    lock = HERE / "package-lock.json"
    folder = ROOT / ".cache" / "node" / hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    if not (folder / "whole").exists():
        _install(folder)
    for script in HERE.glob("*.mjs"):  # modules are looked for from where the script is
        shutil.copy(script, folder)
    return folder


def _install(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    command += ["--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"]
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=INSTALL_WITHIN,
        check=False,
    )
    if done.returncode != 0:
        raise Missing(f"needs the npm packages {_names()}; {done.stderr.partition(chr(10))[0]}")
    (folder / "whole").touch()


def _names() -> str:
    wanted = json.loads((HERE / "package.json").read_text())["dependencies"]
    return ", ".join(f"{name} {version}" for name, version in wanted.items())
