"""Every way a client can leave, on every server: how long until the source's `finally`, and the socket gone.

    python -m matrix                                    # everything; a few minutes
    python -m matrix --quick                            # fewer repetitions, nothing that takes seconds
    python -m matrix --only uvicorn-h11-asyncio,granian
    python -m matrix --acts fin,zero_window --docs      # some acts; and write docs/reference/matrix.md

Real servers, real sockets. A server is an entry in `servers.py`, an act of a client is one file in `acts/`.
"""
