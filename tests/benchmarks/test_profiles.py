"""Whose a sample of a profile is."""

from __future__ import annotations

import pytest

from benchmarks.profiles import floors, page
from benchmarks.profiles.sampling import Profile

PULL = "7f1b py::pull:/somewhere/endwell/engine/_pull.py (/tmp/perf-1.map)"
EVAL = "110811 _PyEval_EvalFrameDefault (/usr/lib/libpython3.12.so.1.0)"

STACKS = {
    "endwell: engine": (EVAL, PULL),
    "JSON": ("6b json_encode_dict (/venv/msgspec/_core.cpython-312.so)", EVAL, PULL),
    "kernel": ("ff tcp_sendmsg ([kernel.kallsyms])", "f8 write (/usr/lib/libc.so.6)", EVAL, PULL),
    "event loop": ("9e UVStream__write (/venv/uvloop/loop.cpython-312.so)", EVAL, PULL),
    "server": ("7f py::RequestResponseCycle.send:/venv/uvicorn/protocols/http/httptools_impl.py (/tmp/x)",),
    "garbage collector": ("8c TaskObj_traverse (/usr/lib/_asyncio.so)", "1c gc_collect_main (/x.so)", PULL),
    "raw": ("7f py::_stream:/work/benchmarks/peers/raw.py (/tmp/perf-1.map)",),
    "application": ("7f py::token:/work/benchmarks/event.py (/tmp/perf-1.map)",),
    floors.REST: (EVAL, "7f py::suppress.__exit__:/usr/lib/python3.12/contextlib.py (/tmp/perf-1.map)"),
}


@pytest.mark.parametrize("floor", STACKS)
def test_a_sample_belongs_to_the_innermost_that_is_anybodys(floor: str) -> None:
    assert floors.floor_of(STACKS[floor]) == floor


def test_a_function_is_named_only_where_the_time_is_its_own() -> None:
    assert floors.function_of(STACKS["endwell: engine"]) == "_pull:pull"
    assert floors.function_of(STACKS["JSON"]) is None


def test_a_server_that_makes_way_for_another_process_is_not_at_work() -> None:
    assert floors.is_preempted(("ff schedule ([kernel])", "ff exit_to_user_mode_loop ([kernel])", PULL))
    assert not floors.is_preempted(STACKS["kernel"])


def test_a_table_has_a_row_for_each_floor_and_a_column_for_each_peer() -> None:
    before = [Profile(2, "endwell", "bare", 20.0, 10, {"kernel": 8.0, "endwell: engine": 12.0})]
    now = [
        Profile(2, "raw", "bare", 24.0, 10, {"kernel": 8.0, "raw": 16.0}),
        Profile(2, "endwell", "bare", 16.0, 10, {"kernel": 8.0, "endwell: engine": 8.0}, {"_pull:pull": 4.0}),
    ]
    lines = page.tables(now, before).splitlines()
    assert "| | raw | endwell before | endwell |" in lines
    assert "| kernel | 8.00 (33 %) | 8.00 (40 %) | 8.00 (50 %) |" in lines
    assert "| raw | 16.0 (67 %) |  |  |" in lines
    assert "The dearest functions of endwell: `_pull:pull` 4.00." in lines


def test_what_a_framework_adds_is_told_apart() -> None:
    floors_ = {"endwell: engine": 100.0}
    profiles = [
        Profile(5, "raw", "bare", 90.0, 10, floors_),
        Profile(5, "endwell", "bare", 100.0, 10, floors_),
        Profile(5, "raw", "routed", 130.0, 10, floors_),
        Profile(5, "endwell-decorated", "fastapi", 250.0, 10, {**floors_, "framework": 150.0}),
    ]
    lines = page.tables(profiles).splitlines()
    assert "| | raw | endwell |" in lines
    assert "| | raw in Starlette | endwell's decorator in FastAPI |" in lines
    assert "| framework |  | 150 (60 %) |" in lines
    assert "| more than bare | 40.0 | 150 |" in lines
