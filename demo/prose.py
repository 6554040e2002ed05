"""Real prose that ships with Python: the language reference, as `pydoc_data.topics` holds it for `help()`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from math import log
from pydoc_data.topics import topics

_TOKEN = re.compile(r"\s*\w+|\s*[^\w\s]")
_SENTENCES = re.compile(r"\*?[A-Z].*\.\)?\s*", re.DOTALL)
_A_LINE = 80
_EMPHASIS = re.compile(r"\*+([^*\n]+)\*+")
_WORD = re.compile(r"[a-z]{3,}")
_ASKING = frozenset(
    _WORD.findall("what why how when where who which does the are can and for tell about explain")
)

_OPENING = "objects"
"""The topic told when a question matches none. It begins: "Objects are Python's abstraction for data"."""


def tokens(question: str) -> Iterator[str]:
    """The answer to `question`: the topic that fits it best, then the others, some 30,000 tokens in all."""
    first = best_topic(question)
    for name in (first, *(other for other in paragraphs() if other != first)):
        for paragraph in paragraphs()[name]:
            yield from _TOKEN.findall(paragraph)
            yield "\n\n"


def best_topic(question: str) -> str:
    """The topic whose name or text says the question's words most, each word weighed by how rare it is."""
    wanted = set(_WORD.findall(question.lower())) - _ASKING

    def fit(name: str) -> float:
        counts = _word_counts()[name]
        named = sum(_is_named(word, name) for word in wanted)
        return named + sum(_rarity(word) * counts[word] for word in wanted) / (counts.total() + 200)

    best = max(paragraphs(), key=fit)
    return best if fit(best) > 0 else _OPENING


@cache
def paragraphs() -> dict[str, list[str]]:
    """Each topic's paragraphs of plain prose; headings, grammar and code are left out."""
    prose = {
        name: [_plain(block) for block in text.split("\n\n") if _is_prose(block)]
        for name, text in topics.items()
    }
    return {name: blocks for name, blocks in prose.items() if len(blocks) > 1}


@cache
def _word_counts() -> dict[str, Counter[str]]:
    return {name: Counter(_WORD.findall(" ".join(blocks).lower())) for name, blocks in paragraphs().items()}


def _rarity(word: str) -> float:
    texts = _word_counts().values()
    return log(len(texts) / (1 + sum(word in counts for counts in texts))) + 1


def _is_named(word: str, name: str) -> bool:
    return word.rstrip("s") in (part.rstrip("s") for part in name.split("-"))


def _is_prose(block: str) -> bool:
    return bool(_SENTENCES.fullmatch(block)) and "::=" not in block and len(block) > _A_LINE


def _plain(block: str) -> str:
    return _EMPHASIS.sub(r"\1", " ".join(block.split()))
