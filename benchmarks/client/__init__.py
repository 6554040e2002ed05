"""The other end: plain sockets under one epoll, fast enough not to be what is measured."""

from __future__ import annotations

from benchmarks.client.crowd import Crowd, Stream
from benchmarks.client.plain import check, get

__all__ = ["Crowd", "Stream", "check", "get"]
