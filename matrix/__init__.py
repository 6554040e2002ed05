"""Every way a client can leave, on every server: how long until the source's `finally`, and the socket gone.
And SIGTERM: how long until the process is.

    python -m matrix                                    # everything; a few minutes
    python -m matrix --quick                            # fewer repetitions, nothing that takes seconds
    python -m matrix --only uvicorn-h11-asyncio,granian
    python -m matrix --acts fin,zero_window --docs      # some acts; and write docs/reference/matrix.md
    python -m matrix --shutdown --launches 200 --docs   # SIGTERM alone; and write docs/reference/shutdown.md

Real servers, real sockets. A server is an entry in `servers.py`, an act of a client is one file in `acts/`.
What may be under way when SIGTERM comes, and what must be true afterwards, is in `tests/shutdown/`.
"""
