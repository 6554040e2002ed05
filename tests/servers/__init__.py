"""Tests against real servers, started as processes: what the wire and the kernel really do.

Each test runs on every configuration in `servers.CONFIGS`, which also says in what they differ. One process
each serves all tests; `-k hypercorn` chooses one. Deadlines only bound a failing test: what took how long is
printed at the end, and kept in `.cache/servers-latency.json`.
"""
