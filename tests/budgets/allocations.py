"""Memory by the function that allocated it."""

from __future__ import annotations

import ast
import functools
from collections import Counter
from pathlib import Path
from tracemalloc import Snapshot, Traceback

from tests.budgets.counting import OURS, THEIRS, Cost

DEPTH = 16
"""Frames of each allocation that are kept: enough to find endwell below anyio and the standard library."""


def by_place(snapshot: Snapshot) -> Cost:
    """Bytes and blocks that endwell allocated, itself or by what it calls."""
    cost: Cost = {"bytes": Counter(), "blocks": Counter()}
    for trace in snapshot.traces:
        place = _place(trace.traceback)
        if place is not None:
            cost["bytes"][place] += trace.size
            cost["blocks"][place] += 1
    return cost


def _place(traceback: Traceback) -> str | None:
    for frame in reversed(traceback):
        if frame.filename.startswith(OURS):
            return _function_at(frame.filename, frame.lineno)
        if any(part in frame.filename for part in THEIRS):
            return None
    return None


@functools.cache
def _function_at(file: str, line: int) -> str:
    module = f"endwell.{file.removeprefix(OURS).removesuffix('.py').replace('/', '.')}"
    names: list[str] = []
    body: list[ast.stmt] = ast.parse(Path(file).read_text(encoding="utf-8")).body
    while inner := next((each for each in body if _holds(each, line)), None):
        assert isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        names.append(inner.name)
        body = inner.body
    return f"{module}:{'.'.join(names) or '<module>'}"


def _holds(statement: ast.stmt, line: int) -> bool:
    is_named = isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    return is_named and statement.lineno <= line <= (statement.end_lineno or 0)
