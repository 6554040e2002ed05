"""The server process, as its clients' process sees it."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers import servers

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def running(*options: str) -> Iterator[servers.Server]:
    """Start the application with these options, and stop it at the end of the block; show what it wrote."""
    config = servers.Config(name="fleet", args=("benchmarks.fleet.app", "--port", "{port}", *options))
    with tempfile.TemporaryDirectory() as folder:
        with servers.running(config, "", Path(folder) / "log") as server:
            yield server
        print(server.output(), end="", file=sys.stderr)
