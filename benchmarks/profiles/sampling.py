"""Taking a profile: what the kernel says that a server spends, and on what, by perf's samples."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.harness.process import BenchmarkError, Server, Setting
from benchmarks.profiles import floors
from benchmarks.profiles.loads import LOADS

RATE = 999
"""Samples for each second of processor time."""
STACK = 4096
"""Bytes of stack: enough to find the innermost function of Python's."""
SECONDS: Mapping[int, float] = {4: 10.0, 8: 10.0}
"""A server that is idle now and then works little."""
USUALLY = 5.0
SHOWN = 12
PYTHON = (3, 12)


@dataclass(slots=True)
class Profile:
    """Where the time of one workload goes, for one peer.

    Attributes:
        workload, peer, mount: What was run.
        micros: Processor time for each event, heartbeat or stream, in µs.
        samples: Those that the shares were made of.
        floors: Microseconds of each floor.
        functions: Microseconds of endwell's dearest functions.
    """

    workload: int
    peer: str
    mount: str
    micros: float
    samples: int = 0
    floors: dict[str, float] = field(default_factory=dict)
    functions: dict[str, float] = field(default_factory=dict)


def take(setting: Setting, scale: float = 1.0) -> Profile:
    """Run a workload twice, the second time sampled: to tell perf of each function makes Python slower.

    Raises:
        BenchmarkError: There is no perf here, or it may not sample.
    """
    seconds = SECONDS.get(setting.workload, USUALLY) * scale
    with Server(setting) as server, LOADS[setting.workload](server) as run:
        run(1)
        with server.account() as spent:
            units = run(seconds)
    profile = Profile(setting.workload, setting.peer, setting.mount, spent.server / units * 1e6)
    with _telling_perf(), Server(setting) as server, LOADS[setting.workload](server) as run:
        run(1)
        with _sampled(server.pid, seconds) as stacks:
            run(seconds)
    _share_out(profile, stacks)
    return profile


def check() -> None:
    """See that profiles can be taken here.

    Raises:
        BenchmarkError: They cannot.
    """
    if shutil.which("perf") is None:
        raise BenchmarkError("profiles need Linux's perf: apt-get install linux-perf")
    if sys.version_info < PYTHON:
        raise BenchmarkError("profiles need Python 3.12 or newer: scripts/profile")


def _share_out(profile: Profile, stacks: Sequence[Sequence[str]]) -> None:
    counted = [stack for stack in stacks if stack and not floors.is_preempted(stack)]
    if not counted:
        raise BenchmarkError("perf has seen nothing")
    each = profile.micros / len(counted)
    functions = Counter(name for stack in counted if (name := floors.function_of(stack)) is not None)
    profile.samples = len(counted)
    profile.floors = {floor: count * each for floor, count in Counter(map(floors.floor_of, counted)).items()}
    profile.functions = {name: count * each for name, count in functions.most_common(SHOWN)}


@contextmanager
def _telling_perf() -> Iterator[None]:
    os.environ["PYTHONPERFSUPPORT"] = "1"
    try:
        yield
    finally:
        del os.environ["PYTHONPERFSUPPORT"]


@contextmanager
def _sampled(pid: int, seconds: float) -> Iterator[list[list[str]]]:
    """Sample the stacks of a process while the block runs; they are there after it, innermost frame first."""
    stacks: list[list[str]] = []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        command = ["perf", "record", "--event", "cpu-clock", "--freq", str(RATE), "--output", str(data)]
        command += ["--call-graph", f"dwarf,{STACK}", "--pid", str(pid), "--", "sleep", f"{seconds:.0f}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            yield stacks
            said, _ = process.communicate()
        if process.returncode:
            raise BenchmarkError(f"perf failed; it needs root, or to be allowed to sample:\n{said.decode()}")
        script = ["perf", "script", "--input", str(data), "--fields", "ip,sym,dso", "--no-inline"]
        text = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    stacks += [[line.strip() for line in sample.splitlines()] for sample in text.strip().split("\n\n")]
