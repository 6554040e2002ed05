"""Reference and map tell the truth: all of it, and nothing else."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

import endwell

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", endwell.__all__)
def test_a_public_name_has_its_place_in_the_reference(name: str) -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md"))
    assert re.search(rf"auto\w+:: (endwell\.)?{name}$", pages, re.MULTILINE)


def test_the_map_knows_every_room_and_no_other() -> None:
    rooms = {path.name for path in Path(endwell.__file__).parent.glob("*/_*.py")} - {"__init__.py"}
    mapped = set(re.findall(r"\b_\w+\.py", (DOCS / "where-things-live.md").read_text(encoding="utf-8")))
    assert mapped == rooms


def test_a_code_fence_in_a_docstring_becomes_a_code_block() -> None:
    to_rest = runpy.run_path(str(DOCS / "_ext" / "markdown_docstrings.py"))["to_rest"]
    assert to_rest("How:\n\n```python\nif x:\n    y\n```\n\nDone.") == (
        "How:\n\n.. code-block:: python\n\n    if x:\n        y\n\n\nDone."
    )
