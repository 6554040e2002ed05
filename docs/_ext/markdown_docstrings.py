"""Docstrings hold Markdown's code fences, as an editor shows them; Sphinx reads reStructuredText."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def to_rest(text: str) -> str:
    """Turn each code fence into a `code-block` directive; the rest stays as it is."""
    return FENCE.sub(_directive, text)


def _directive(fence: re.Match[str]) -> str:
    indent, language, code = fence.groups()
    body = textwrap.indent(textwrap.dedent(code), f"{indent}    ")
    return f"{indent}.. code-block:: {language or 'text'}\n\n{body}"


def _convert(_app: Sphinx, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    lines[:] = to_rest("\n".join(lines)).split("\n")


def setup(app: Sphinx) -> dict[str, bool]:
    """Run before napoleon, which looks at what is left."""
    app.connect("autodoc-process-docstring", _convert, priority=400)
    return {"parallel_read_safe": True}
