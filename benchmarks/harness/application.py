"""A server process that is a module of its own, rather than a peer on a server."""

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
def running(module: str, *options: str) -> Iterator[servers.Server]:
    """Start `python -m module --port N` with these options, and stop it at the end of the block.

    What it wrote is shown, as it should not.
    """
    config = servers.Config(name=module, args=(module, "--port", "{port}", *options))
    with tempfile.TemporaryDirectory() as folder, servers.running(config, "", Path(folder) / "log") as server:
        try:
            yield server
        finally:
            print(server.output(), end="", file=sys.stderr)
