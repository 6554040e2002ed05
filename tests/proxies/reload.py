"""Telling a running proxy to take its configuration anew, each in its own way."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

from tests.proxies.variants import Proxy, admin_socket, caddy_main, executable
from tests.servers.servers import Server

SIGNALS = {"nginx": signal.SIGHUP, "haproxy": signal.SIGUSR2}
"""What `nginx -s reload` and `systemctl reload haproxy` send to the main process."""
TURNOVER = 5.0
"""Seconds until new workers must be there: it only bounds a failing test."""


def reload(server: Server) -> None:
    """Reload, and return when the new configuration serves."""
    proxy = server.config
    assert isinstance(proxy, Proxy)
    if proxy.kind == "caddy":
        _reload_caddy(proxy)
        return
    before = set(workers(server))
    server.process.send_signal(SIGNALS[proxy.kind])
    deadline = time.monotonic() + TURNOVER
    while not set(workers(server)) - before:
        assert time.monotonic() < deadline, f"no new workers beside {before}"
        time.sleep(0.01)


def _reload_caddy(proxy: Proxy) -> None:
    # Without --force, an unchanged configuration would be no reload.
    asking = ("--adapter", "caddyfile", "--config", str(caddy_main(proxy)), "--force")
    command = [executable("caddy"), "reload", *asking, "--address", admin_socket(proxy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TURNOVER)
    assert done.returncode == 0, done.stderr


def workers(server: Server) -> list[int]:
    """The process ids of the main process's workers, old and new."""
    main = server.process.pid
    return [int(pid) for pid in Path(f"/proc/{main}/task/{main}/children").read_text().split()]
