"""The server process: one workload's scene, shown by one peer, under one server, on one core."""

from __future__ import annotations

import argparse

from benchmarks import peers, servers, workloads
from benchmarks.harness.machine import pin


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve", description=__doc__)
    parser.add_argument("--workload", type=int, required=True)
    parser.add_argument("--peer", required=True)
    parser.add_argument("--mount", choices=("bare", "routed", "fastapi"), default="bare")
    parser.add_argument("--server", choices=servers.names(), default="uvicorn")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--core", type=int, default=0)
    options = parser.parse_args()
    pin(options.core)
    scene = workloads.load()[options.workload].scene
    app = peers.load(options.peer)(scene, options.mount)
    servers.load(options.server)(app, options.port)


if __name__ == "__main__":
    main()
