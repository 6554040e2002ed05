"""What every picture here is made of: a canvas that shrinks with the page, and text in its colour."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable


def document(name: str, size: tuple[int, int], label: str, style: str, parts: Iterable[str]) -> str:
    """A picture.

    Args:
        name: its class.
        size: width and height.
        label: what it shows, for those who cannot see it.
        style: a line for each rule, for what is in `parts`.
        parts: its elements; the last stands above the others.
    """
    width, height = size
    base = (
        f"svg.{name}{{max-width:100%;height:auto}}"
        f"svg.{name} text{{font:13px sans-serif;fill:currentColor}}"
        f"svg.{name} text.tick{{font-size:11px}}"
        f"svg.{name} text.title{{font-weight:bold}}"
    )
    rules = "".join(f"svg.{name} {rule}" for rule in style.splitlines() if rule)
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{name}" viewBox="0 0 {width} {height}" '
        f'width="{width}" role="img" aria-label="{escape(label)}">\n'
        f"<style>{base}{rules}</style>\n{body}\n</svg>\n"
    )


def text(
    x: float, y: float, words: str, anchor: Literal["start", "middle", "end"] = "start", kind: str = ""
) -> str:
    """Words; of a `kind`, "tick" is small and "title" is bold."""
    of_kind = f' class="{kind}"' if kind else ""
    return f'<text{of_kind} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
