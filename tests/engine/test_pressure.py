"""Whether memory is short: what control groups and the machine say, whatever they say."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from endwell.engine._pressure import EVERY, Pressure

GIB = 2**30


class Machine:
    """A tree of the files that tell of memory, as the kernel lays them out."""

    def __init__(self, root: Path) -> None:
        self.cgroup = root / "cgroup"
        self.proc = root / "proc"
        self.now = 0.0

    def has(self, total: int, available: int) -> None:
        self._write(
            self.proc / "meminfo",
            f"MemTotal:       {total // 1024} kB\nMemFree:  1 kB\nMemAvailable:   {available // 1024} kB\n",
        )

    def runs_in(self, *lines: str) -> None:
        self._write(self.proc / "self" / "cgroup", "".join(f"{line}\n" for line in lines))

    def group(self, name: str, limit: int | str, used: int, inactive: int = 0) -> None:
        """A group of version 2."""
        group = self.cgroup / name
        self._write(group / "memory.max", f"{limit}\n")
        self._write(group / "memory.current", f"{used}\n")
        self._write(
            group / "memory.stat", f"anon 1\nfile 2\nactive_file 4\ninactive_file {inactive}\nslab 5\n"
        )

    def old_group(self, name: str, limit: int, used: int, inactive: int = 0) -> None:
        """A group of version 1."""
        group = self.cgroup / "memory" / name
        self._write(group / "memory.limit_in_bytes", f"{limit}\n")
        self._write(group / "memory.usage_in_bytes", f"{used}\n")
        self._write(group / "memory.stat", f"inactive_file 7\ntotal_inactive_file {inactive}\n")

    def _write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def pressure(self, share: float = 0.9) -> Pressure:
        return Pressure(share, cgroup=self.cgroup, proc=self.proc, clock=lambda: self.now)

    def is_short(self, share: float = 0.9) -> bool:
        return self.pressure(share).is_high()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.has(64 * GIB, 60 * GIB)
    return machine


# -- the bounds ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("used", "short"), [(0, False), (74, False), (75, True), (99, True), (120, True)])
def test_a_group_is_short_of_memory_from_the_share_on(machine: Machine, used: int, short: bool) -> None:
    machine.runs_in("0::/app")
    machine.group("app", 100 * 2**20, used * 2**20)
    assert machine.is_short(0.75) is short


def test_all_of_it_may_be_used_where_the_share_is_one(machine: Machine) -> None:
    machine.runs_in("0::/app")
    machine.group("app", GIB, GIB - 1)
    assert not machine.is_short(1)
    machine.group("app", GIB, GIB)
    assert machine.is_short(1)


def test_pages_of_files_that_nobody_uses_do_not_count(machine: Machine) -> None:
    machine.runs_in("0::/app")
    machine.group("app", GIB, GIB, inactive=GIB // 2)
    assert not machine.is_short(0.9)
    machine.group("app", GIB, GIB, inactive=GIB // 20)
    assert machine.is_short(0.9)


def test_the_limit_of_a_group_around_it_counts(machine: Machine) -> None:
    machine.runs_in("0::/pod/app")
    machine.group("pod", GIB, GIB)
    machine.group("pod/app", "max", 5)
    assert machine.is_short()


def test_neighbours_may_use_up_what_is_left_around_it(machine: Machine) -> None:
    machine.runs_in("0::/pod/app")
    machine.group("pod", 2 * GIB, 2 * GIB - 5)
    machine.group("pod/app", GIB, GIB // 10)
    assert machine.is_short()


def test_a_big_group_that_is_nearly_full_is_big_enough_for_a_small_one(machine: Machine) -> None:
    machine.runs_in("0::/kubepods/app")
    machine.group("kubepods", 500 * GIB, 490 * GIB)
    machine.group("kubepods/app", GIB, GIB // 2)
    assert not machine.is_short()


def test_in_a_container_names_may_be_those_of_the_outside(machine: Machine) -> None:
    machine.runs_in("0::/kubepods.slice/pod1234/container5678")
    machine.group("", GIB, GIB)  # what is mounted is the container's own group
    assert machine.is_short()


@pytest.mark.parametrize("name", ["/../sibling", "/..", "/../../../../../etc", "/a b:c (deleted)", ""])
def test_no_name_leads_out_of_what_is_mounted(machine: Machine, name: str) -> None:
    machine.runs_in(f"0::{name}")
    machine.group("../sibling", GIB, GIB)
    machine.group("../../etc", GIB, GIB)
    machine.group("", 2 * GIB, GIB)
    assert not machine.is_short()


def test_without_a_limit_the_machine_counts(machine: Machine) -> None:
    machine.runs_in("0::/")
    machine.group("", "max", 10 * GIB)
    assert not machine.is_short()
    machine.has(64 * GIB, 6 * GIB)
    assert machine.is_short()


def test_a_machine_without_memory_kills_also_whoever_has_a_limit(machine: Machine) -> None:
    machine.runs_in("0::/app")
    machine.group("app", 4 * GIB, GIB)
    machine.has(64 * GIB, GIB)
    assert not machine.is_short()
    machine.has(64 * GIB, GIB // 10)
    assert machine.is_short()


def test_version_one(machine: Machine) -> None:
    machine.runs_in("5:devices:/other", "4:cpu,memory:/docker/app", "0::/elsewhere")
    machine.old_group("docker", 9223372036854771712, 9 * GIB)
    machine.old_group("docker/app", GIB, GIB, inactive=GIB // 2)
    assert not machine.is_short()
    machine.old_group("docker/app", GIB, GIB, inactive=7)
    assert machine.is_short()


def test_a_limit_that_is_changed_counts_from_then_on(machine: Machine) -> None:
    machine.runs_in("0::/app")
    machine.group("app", GIB, GIB)
    pressure = machine.pressure()
    assert pressure.is_high()
    machine.group("app", 2 * GIB, GIB)
    machine.now += EVERY
    assert not pressure.is_high()


# -- how often it looks --------------------------------------------------------------------------------------


def test_an_answer_is_good_for_a_moment(machine: Machine) -> None:
    machine.runs_in("0::/app")
    machine.group("app", GIB, 5)
    pressure = machine.pressure()
    assert not pressure.is_high()
    machine.group("app", GIB, GIB)
    machine.now += EVERY * 0.99
    assert not pressure.is_high()
    machine.now += EVERY * 0.01
    assert pressure.is_high()


# -- what there may be instead -------------------------------------------------------------------------------


def test_where_nobody_says_how_much_there_is_it_is_off_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pressure = Machine(tmp_path).pressure(0.9)
    assert not pressure.is_high()
    assert caplog.messages == [
        "Limits.memory (0.9) has no effect: nothing says how much memory there is",
    ]


def test_files_that_vanish_are_no_error(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    machine.runs_in("0::/app")
    machine.group("app", GIB, GIB)
    pressure = machine.pressure()
    assert pressure.is_high()
    for path in (*machine.cgroup.rglob("memory.*"), *machine.proc.rglob("*info")):
        path.unlink()
    machine.now += EVERY
    assert not pressure.is_high()
    assert caplog.messages == []


def test_what_cannot_be_read_is_as_good_as_not_there(machine: Machine) -> None:
    machine.runs_in("0::/app")
    (machine.cgroup / "app" / "memory.max").mkdir(parents=True)
    assert not machine.is_short()


junk = st.sampled_from([b"", b"max\n", b"-1", b"0", b"1" * 5000, b"nan", b"inactive_file x", b"MemTotal: kB"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(junk | st.binary(max_size=50), min_size=5, max_size=5), st.sampled_from([0.001, 0.9, 1]))
def test_whatever_stands_in_the_files_nothing_is_raised(
    tmp_path: Path, texts: list[bytes], share: float
) -> None:
    machine = Machine(tmp_path)
    machine.runs_in("0::/")
    machine.group("", "max", 0)
    paths = [
        *(machine.cgroup / f"memory.{name}" for name in ("max", "current", "stat")),
        machine.proc / "meminfo",
        machine.proc / "self" / "cgroup",
    ]
    for path, text in zip(paths, texts, strict=True):
        path.write_bytes(text)
    logging.disable(logging.WARNING)
    try:
        assert machine.is_short(share) in (True, False)
    finally:
        logging.disable(logging.NOTSET)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how much memory there is")
def test_the_files_of_this_machine_are_understood(caplog: pytest.LogCaptureFixture) -> None:
    assert not Pressure(1).is_high()
    assert Pressure(1e-9).is_high()
    assert caplog.messages == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how much memory there is")
async def test_it_may_be_asked_on_the_loop() -> None:
    assert Pressure(1e-9).is_high()
