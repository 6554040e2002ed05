"""Figures in the documentation's pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def table(head: Sequence[str], rule: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; `rule` says how its columns are set."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))


def put(page: Path, begin: str, end: str, content: str) -> None:
    """Put `content` between two lines of a page.

    Raises:
        ValueError: The page has no such lines.
    """
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{page} needs the lines {begin} and {end}")
    page.write_text(f"{before}{begin}\n{content}{end}{after}", encoding="utf-8")
