"""`python -m demo`: build the database, find a port, start the model's process, serve, and say where.

HOST and PORT choose another address (default 127.0.0.1, and 8000 or the next free port). Ctrl-C ends
everything in good order: the streams are drained, then the model's process ends, then this one.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
from functools import partial

import uvicorn

from demo.app import app
from demo.characters import database

FIRST_PORT = 8000
PATIENCE = 1
"""Seconds that a shutdown waits for connections whose readers take nothing; a cleanup has less."""
PORTS = 100
"""How many ports are tried from the first."""


class Server(uvicorn.Server):
    """uvicorn, which says where it is once it is there."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then print the one line that matters."""
        await super().startup(sockets)
        if self.started and sockets:
            print(f"\n  endwell's demo is at {_url(sockets[0])}    Ctrl-C ends it.\n", flush=True)


def main() -> int:
    """Run the demo; 0 when it ended in good order."""
    logging.basicConfig(format="%(asctime)s  %(message)s", datefmt="%H:%M:%S", level=logging.WARNING)
    logging.getLogger("endwell").setLevel(logging.INFO)
    try:
        return serve(os.environ.get("HOST", "127.0.0.1"), os.environ.get("PORT"))
    except KeyboardInterrupt:  # uvicorn has shut down first, and passes the signal on
        print("The demo has ended.", flush=True)
        return 0


def serve(host: str, port: str | None) -> int:
    """Serve until a signal; 1 when it could not start."""
    database(say=partial(print, flush=True))
    try:
        listener = listen(host, port)
    except (OSError, ValueError, OverflowError) as error:
        print(f"The demo cannot listen on HOST={host} PORT={port or FIRST_PORT}: {error}", file=sys.stderr)
        return 1
    server = Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=PATIENCE))
    server.run(sockets=[listener])
    return 0 if server.started else 1


def listen(host: str, port: str | None) -> socket.socket:
    """Listen on `port`, or else on the first free one from 8000.

    Raises:
        OSError: That port is taken, or the host is not this machine's.
        ValueError: The port is no number.
        OverflowError: It is no port's number.
    """
    if port is not None:
        return socket.create_server((host, int(port)), backlog=2048)
    for candidate in range(FIRST_PORT, FIRST_PORT + PORTS):
        try:
            return socket.create_server((host, candidate), backlog=2048)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    return socket.create_server((host, 0), backlog=2048)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{'localhost' if host in ('0.0.0.0', '::') else host}:{port}"


if __name__ == "__main__":
    sys.exit(main())
