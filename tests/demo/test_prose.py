"""What the model says."""

from __future__ import annotations

import pytest

from demo.prose import best_topic, paragraphs, tokens


@pytest.mark.parametrize(
    ("question", "topic"),
    [
        ("How do context managers work?", "context-managers"),
        ("What is an object?", "objects"),
        ("Tell me about exceptions", "exceptions"),
        ("what is it?", "objects"),
    ],
)
def test_a_question_finds_its_topic(question: str, topic: str) -> None:
    assert best_topic(question) == topic


def test_tokens_join_to_the_prose_itself() -> None:
    told = "".join(tokens("exceptions"))
    assert told.startswith(paragraphs()["exceptions"][0])


def test_an_answer_lasts_for_minutes_at_twenty_tokens_a_second() -> None:
    assert sum(1 for _ in tokens("")) > 20 * 60 * 10
