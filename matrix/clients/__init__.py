"""Clients over raw sockets, one file for each version of HTTP."""

from matrix.clients.base import Client
from matrix.clients.http1 import Http1
from matrix.clients.http2 import Http2
from matrix.clients.pace import Pace

__all__ = ["SPEAKING", "Client", "Http1", "Http2", "Pace"]

SPEAKING: dict[int, type[Client]] = {1: Http1, 2: Http2}
"""By the version of HTTP."""
