"""This machine's processor and memory: from /proc on Linux, from the load average elsewhere."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_KIB_PER_GIB = 1024**2


@dataclass(frozen=True)
class Reading:
    """Processors' busy time and memory in use, in percent; None where the machine does not tell."""

    cpu: float
    memory: float | None = None
    used_gib: float | None = None
    total_gib: float | None = None


@dataclass
class Machine:
    """Reads since its last reading. The first one tells the processor's share since the machine started."""

    proc: Path = _PROC
    _busy: int = 0
    _total: int = 0

    def read(self) -> Reading:
        """How busy all processors were since the last call, and the memory in use now, both in percent."""
        cpu = round(self._cpu(), 1)
        try:
            used, total = self._memory()
        except OSError:
            return Reading(cpu)
        return Reading(cpu, round(100 * used / total, 1), round(used, 2), round(total, 2))

    def _cpu(self) -> float:
        try:
            fields = (self.proc / "stat").read_text().split("\n", 1)[0].split()[1:9]
        except OSError:
            return min(100.0, 100 * os.getloadavg()[0] / (os.cpu_count() or 1))
        user, nice, system, idle, waiting, *others = (int(ticks) for ticks in fields)
        busy, total = user + nice + system + sum(others), user + nice + system + idle + waiting + sum(others)
        share = 100 * (busy - self._busy) / max(1, total - self._total)
        self._busy, self._total = busy, total
        return share

    def _memory(self) -> tuple[float, float]:
        """Used and total, in GiB."""
        lines = (self.proc / "meminfo").read_text().splitlines()
        kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        total = kib["MemTotal"]
        return (total - kib["MemAvailable"]) / _KIB_PER_GIB, total / _KIB_PER_GIB
