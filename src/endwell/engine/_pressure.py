"""Whether the memory that this process may use is nearly gone.

What bounds it is said in files: the limits of its control group and of those around it, and the memory of
the machine. At any of these bounds the kernel kills. Pages of files that nobody has used of late count
neither for the kernel, which gives them up first, nor for kubelet.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

from endwell.observe import logger

EVERY = 0.25
"""Seconds between looks, however many ask: a look takes a fifth of a millisecond."""


class _Bound(Protocol):
    """Something that has an end."""

    def most(self) -> float:
        """Bytes that there are in all; infinitely many if nobody says."""

    def left(self, most: float, enough: float) -> float:
        """Bytes that are left of the `most`; counted exactly if they seem to be no more than `enough`."""


class _Words(NamedTuple):
    """What a version of control groups calls its files, and a line in `memory.stat`."""

    limit: str
    used: str
    idle: bytes


_V1 = _Words("memory.limit_in_bytes", "memory.usage_in_bytes", b"total_inactive_file")
_V2 = _Words("memory.max", "memory.current", b"inactive_file")


class _Group(NamedTuple):
    """A control group, of either version."""

    path: Path
    words: _Words

    def most(self) -> float:
        return _number(self.path / self.words.limit, math.inf)

    def left(self, most: float, enough: float) -> float:
        left = most - _number(self.path / self.words.used, 0)
        if left > enough:  # for `memory.stat` the kernel may have to add up all groups within
            return left
        return left + _entry(self.path / "memory.stat", self.words.idle, 0)


class _Machine(NamedTuple):
    """The memory of the machine."""

    path: Path

    def most(self) -> float:
        return _entry(self.path, b"MemTotal:", math.inf) * 1024

    def left(self, most: float, enough: float) -> float:  # noqa: ARG002 - the kernel has counted already
        return _entry(self.path, b"MemAvailable:", math.inf) * 1024


class Pressure:
    """Whether more than a share of the memory that this process may use is in use.

    Args:
        share: The share, more than 0, at most 1.
        cgroup: Where control groups are mounted.
        proc: Where the kernel tells of processes.
        clock: Seconds, to know how old an answer is.
    """

    __slots__ = ("_bounds", "_clock", "_is_high", "_look_at", "_share")

    def __init__(
        self,
        share: float,
        *,
        cgroup: Path = Path("/sys/fs/cgroup"),
        proc: Path = Path("/proc"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share = share
        self._bounds: list[_Bound] = [*_groups(cgroup, proc / "self" / "cgroup"), _Machine(proc / "meminfo")]
        self._clock = clock
        self._look_at = -math.inf
        self._is_high = False
        if all(math.isinf(bound.most()) for bound in self._bounds):
            logger.warning("Limits.memory (%g) has no effect: nothing says how much memory there is", share)

    def is_high(self) -> bool:
        """Whether it is nearly gone, or was a moment ago; never raises."""
        now = self._clock()
        if now >= self._look_at:
            self._look_at = now + EVERY
            self._is_high = self._look()
        return self._is_high

    def _look(self) -> bool:
        """Judge what is left at every bound by the tightest one.

        A hundredth of the machine is little for the machine, but much for a container with a tight limit.
        """
        most = [bound.most() for bound in self._bounds]
        enough = min(most) * (1 - self._share)
        return any(
            bound.left(its, enough) <= enough
            for bound, its in zip(self._bounds, most, strict=True)
            if its < math.inf
        )


def _groups(mount: Path, membership: Path) -> Iterator[_Group]:
    """The control groups that a process is in, from its own outwards.

    In a container, what is mounted may begin at its own group, while its name is told as seen from outside:
    some of these, then, are not there, and have no limit.
    """
    for line in os.fsdecode(_read(membership)).splitlines():
        _, controllers, name = [*line.split(":", 2), "", ""][:3]
        own = PurePosixPath(*(part for part in PurePosixPath(name).parts if part not in ("/", "..")))
        for group in (own, *own.parents):
            if not controllers:
                yield _Group(mount / group, _V2)
            elif "memory" in controllers.split(","):
                yield _Group(mount / "memory" / group, _V1)


def _number(path: Path, default: float) -> float:
    text = _read(path).strip()
    return int(text) if re.fullmatch(rb"\d{1,20}", text) else default  # "max" is no limit


def _entry(path: Path, name: bytes, default: float) -> float:
    found = re.search(rb"^%s\s+(\d{1,20})\b" % name, _read(path), re.MULTILINE)
    return default if found is None else int(found[1])


def _read(path: Path) -> bytes:
    """The contents of a file that the kernel makes up when it is asked, so that nobody waits for a disk."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError):  # not there; or a name that is none
        return b""
    try:
        return os.read(descriptor, 65_536)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
