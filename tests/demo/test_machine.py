"""The readings of processor and memory."""

from __future__ import annotations

from pathlib import Path

from demo.machine import Machine, Reading

MEMORY = "MemTotal:  4194304 kB\nMemFree:  1 kB\nMemAvailable:  3145728 kB\n"


def test_processor_and_memory_are_read_from_proc(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text(MEMORY)
    machine = Machine(tmp_path)
    (tmp_path / "stat").write_text("cpu  100 0 0 100 0 0 0 0 0 0\ncpu0 1 2 3\n")
    machine.read()
    (tmp_path / "stat").write_text("cpu  110 5 10 150 25 0 0 0 0 0\ncpu0 1 2 3\n")
    assert machine.read() == Reading(cpu=25.0, memory=25.0, used_gib=1.0, total_gib=4.0)


def test_a_machine_without_proc_tells_its_load(tmp_path: Path) -> None:
    reading = Machine(tmp_path / "nothing").read()
    assert 0 <= reading.cpu <= 100
    assert reading.memory is None
