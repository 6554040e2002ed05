"""SIGTERM on real servers, in every situation: the process is gone in time, readers are told, cleanups run.

Each launch is a process of its own, as a signal ends it. `situations.py` names what a stream may be at when
the signal comes, `served.py` the servers, `laws.py` what must be true afterwards. `make matrix` makes a table
of it from many more launches. `-k hypercorn` chooses one server.
"""
