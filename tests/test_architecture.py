"""The floors hold: who may import whom, and how big a room may grow."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

import endwell

SOURCE = Path(endwell.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))
PUBLIC_NAMES = 40
LINES = 400


def name(path: Path) -> str:
    """`endwell.wire._sse` for src/endwell/wire/_sse.py. `__init__` is kept, so that `.` means the parent."""
    return ".".join(("endwell", *path.relative_to(SOURCE).with_suffix("").parts))


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Every dotted name that a module imports, with its line: what comes after `from x import` included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = name(path).split(".")[: -node.level] if node.level else []
            base = ".".join([*parents, *filter(None, [node.module])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def is_a_room_elsewhere(target: str, importer: str) -> bool:
    """Whether the target is behind another floor's door, as `endwell.wire._sse` is for `endwell.engine.x`."""
    package, floor, *inside = [*target.split("."), ""][:3]
    return package == "endwell" and inside[0].startswith("_") and floor != importer.split(".")[1]


def test_the_import_contracts_hold() -> None:
    # In a process of its own: import-linter sets up logging anew, and puts an end to the loggers there are.
    program = "import importlinter.cli as cli, sys; sys.exit(cli.lint_imports(no_logo=True, no_cache=True))"
    linter = subprocess.run(
        [sys.executable, "-c", program], cwd=SOURCE.parents[1], capture_output=True, text=True, check=False
    )
    assert linter.returncode == 0, linter.stdout + linter.stderr


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_other_floors_are_entered_by_their_door(path: Path) -> None:
    through_the_wall = [
        f"line {line} imports {target}; import it from endwell.{target.split('.')[1]}"
        for line, target in imported(path)
        if is_a_room_elsewhere(target, name(path))
    ]
    assert through_the_wall == []


@pytest.mark.parametrize(
    ("target", "importer", "forbidden"),
    [
        ("endwell.wire._sse.SSE", "endwell.engine._stream", True),
        ("endwell.wire._sse", "endwell.__init__", True),
        ("endwell.wire._sse", "endwell.wire.__init__", False),
        ("endwell.wire.SSE", "endwell.engine._stream", False),
        ("endwell.errors.ChunkError", "endwell.wire._sse", False),
        ("endwell.__version__", "endwell.engine._stream", False),
        ("asyncio._private", "endwell.engine._stream", False),
    ],
)
def test_a_door_is_told_from_a_room(target: str, importer: str, forbidden: bool) -> None:
    assert is_a_room_elsewhere(target, importer) is forbidden


def test_relative_imports_are_resolved() -> None:
    targets = {
        target for path in MODULES if name(path).startswith("endwell.wire.") for _, target in imported(path)
    }
    assert {"endwell.wire._sse.SSE", "endwell.errors.ChunkError"} <= targets


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_can_be_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES


def test_the_public_names_are_few_and_there() -> None:
    assert len(endwell.__all__) <= PUBLIC_NAMES
    assert [each for each in endwell.__all__ if not hasattr(endwell, each)] == []


def test_importing_endwell_imports_no_extra() -> None:
    program = "import sys, endwell; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert {"fastapi", "openai", "pydantic", "uvicorn", "uvloop"} & set(loaded) == set()


def test_the_types_are_shipped() -> None:
    assert files("endwell").joinpath("py.typed").is_file()
