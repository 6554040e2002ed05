"""What is done about the client's own connection while a stream runs."""

from __future__ import annotations

from collections.abc import Callable

from endwell.asgi import _kernel
from endwell.asgi._client import ClientSocket
from endwell.asgi._hidden import Follower
from endwell.asgi._patience import Patience


def attend(
    client: ClientSocket, *, leave: Callable[[], None], vanished: float | None, send: float | None
) -> Follower:
    """See to it that a client who hangs up unread, or vanishes, is noticed.

    Args:
        client: The response's client.
        leave: Called on the loop when it has; then the connection is reset. A server that does not know would
            wait for the rest to be taken, and log that the application broke off.
        vanished: Seconds within which one that vanishes is found; None leaves that to the system.
        send: The stream's send deadline, which decides about a client that is there but does not read.

    Returns:
        What to stop when the response is over.
    """
    check: Patience | None = None
    port = client.port
    if vanished is not None and port is not None:
        _kernel.cover(port, vanished)
        check = Patience(port, vanished, send=send)

    def gone() -> None:
        leave()
        client.abort()

    return Follower(client, gone, check)
