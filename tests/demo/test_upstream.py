"""The model's process, asked as any model is: with the `openai` client."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import pytest
from openai import BadRequestError, DefaultHttpxClient, NotFoundError, OpenAI, Stream
from openai.types.chat import ChatCompletionChunk

from demo.model import Sighting
from demo.prose import tokens
from demo.upstream import MODEL

QUESTION = "What is an object?"


@pytest.fixture
def client(upstream: str) -> Iterator[OpenAI]:
    http_client = DefaultHttpxClient(trust_env=False)
    with OpenAI(base_url=f"{upstream}/v1", api_key="-", max_retries=0, http_client=http_client) as client:
        yield client


def ask(client: OpenAI, request_id: str, *, limit: int | None = None) -> Stream[ChatCompletionChunk]:
    return client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": QUESTION}],
        max_completion_tokens=limit,
        stream=True,
        extra_headers={"X-Request-Id": request_id},
    )


def seen(client: OpenAI, upstream: str, request_id: str) -> Sighting:
    return client.get(f"{upstream}/observed/{request_id}", cast_to=Sighting)


def test_it_lists_its_model(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]


def test_its_tokens_are_the_prose_that_fits_the_question(client: OpenAI) -> None:
    with ask(client, "told") as answer:
        said = [chunk.choices[0].delta.content for chunk in islice(answer, 5)]
    assert said == list(islice(tokens(QUESTION), 5))


def test_it_saw_a_reader_who_left_close_the_connection(client: OpenAI, upstream: str) -> None:
    with ask(client, "left") as answer:
        next(answer)
    assert seen(client, upstream, "left").seen == "closed"


def test_it_saw_a_reader_leave_before_the_first_token(client: OpenAI, upstream: str) -> None:
    with ask(client, "left early"):
        pass
    sighting = seen(client, upstream, "left early")
    assert sighting.seen == "closed"
    assert sighting.chunks == 0


def test_an_answer_that_was_complete_was_not_closed_by_its_reader(client: OpenAI, upstream: str) -> None:
    with ask(client, "complete", limit=3) as answer:
        reasons = [chunk.choices[0].finish_reason for chunk in answer]
    assert reasons == [None, None, None, "length"]
    assert seen(client, upstream, "complete").seen == "finished"


def test_it_knows_nothing_of_a_request_that_never_came(client: OpenAI, upstream: str) -> None:
    with pytest.raises(NotFoundError):
        seen(client, upstream, "never asked")


def test_it_refuses_an_answer_in_one_piece_in_openais_words(client: OpenAI) -> None:
    with pytest.raises(BadRequestError, match="only streams") as refusal:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": QUESTION}])
    assert refusal.value.param == "stream"
