"""Cores, processor time and memory, by the operating system's account."""

from __future__ import annotations

import os
import platform
import resource
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CPUCLOCK_SCHED = 2  # linux/posix-timers.h: the scheduler's clock of a process, in nanoseconds
SERVER_CORE = 0
CLIENT_CORE = 1


def pin(core: int) -> None:
    """Keep this process on `core`, also if the one that started it is kept on another.

    On a machine without such a core, leave it where it is.
    """
    with suppress(OSError):
        os.sched_setaffinity(0, {core})


def allow_many_sockets() -> None:
    """Raise this process's soft limit of descriptors to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def cpu_seconds(pid: int) -> float:
    """Processor time of `pid` and its living children, all threads, user and system, in seconds.

    The clock is the one that clock_getcpuclockid(3) names; nanoseconds, where `/proc/PID/stat` has ticks.
    """
    return sum(time.clock_gettime((~each << 3) | CPUCLOCK_SCHED) for each in _family(pid))


def waited_seconds(pid: int) -> float:
    """Seconds in which the main thread of `pid` could have run and others were on its core; 0 if not told."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    return 0.0


def resident_kib(pid: int) -> float:
    """Proportional resident memory of `pid` and its living children, in KiB."""
    return sum(_pss(each) for each in _family(pid))


def description() -> dict[str, str]:
    """What a reader must know of this machine to judge the figures."""
    return {
        "processor": _field(Path("/proc/cpuinfo"), "model name"),
        "cores": str(os.cpu_count()),
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
    }


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended meanwhile
            for child in (task / "children").read_text().split():
                yield from _family(int(child))


def _pss(pid: int) -> float:
    return float(_field(Path(f"/proc/{pid}/smaps_rollup"), "Pss").split()[0])


def _field(path: Path, name: str) -> str:
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    raise LookupError(f"{path} has no field {name!r}")
