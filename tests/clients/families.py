"""What the streams under test are made of: for each family of clients, a short answer in its own format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from endwell import Event

Chunk = Any
WORDS = ("one ", "two ", "three")
"""What every answer says."""

RETRY = 200
"""The reconnection time in ms that the first event names."""


@dataclass(frozen=True)
class Family:
    """One format of answers.

    Attributes:
        dialect: the name by which endwell knows it.
        path: where its clients ask.
        opening: what goes before the first word.
        word: one word.
        closing: what goes after the last.
    """

    dialect: str
    path: str
    opening: tuple[Chunk, ...]
    word: Callable[[str], Chunk]
    closing: tuple[Chunk, ...]

    def numbered(self, chunk: Chunk, number: int) -> Chunk:
        """`chunk` with an id, and a reconnection time in the first, where the format has such things."""
        if self.dialect == "ndjson":
            return chunk
        retry = RETRY if number == 0 else None
        if isinstance(chunk, Event):
            return Event(chunk.data, event=chunk.event, id=number, retry=retry)
        return Event(chunk, id=number, retry=retry)


def _named(data: dict[str, Any]) -> Event:
    """As Anthropic and OpenAI's responses have it: the type twice, in the event's name and in its data."""
    return Event(data, event=data["type"])


def _chat(delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def _response(status: str) -> dict[str, Any]:
    answer = {"id": "r1", "object": "response", "created_at": 1, "model": "m", "status": status, "output": []}
    return {**answer, "parallel_tool_calls": False, "tool_choice": "auto", "tools": []}


def _responses_word(text: str) -> Event:
    said = {"item_id": "i1", "output_index": 0, "content_index": 0, "delta": text, "logprobs": []}
    return _named({"type": "response.output_text.delta", "sequence_number": 1, **said})


_ANTHROPIC_MESSAGE: dict[str, Any] = {
    "id": "m1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}

GENERIC = Family("generic", "/events", (), lambda text: {"text": text}, ())
OPENAI_CHAT = Family(
    "openai-chat",
    "/v1/chat/completions",
    (_chat({"role": "assistant"}),),
    lambda text: _chat({"content": text}),
    (_chat({}, "stop"), "[DONE]"),
)
OPENAI_RESPONSES = Family(
    "openai-responses",
    "/v1/responses",
    (_named({"type": "response.created", "sequence_number": 0, "response": _response("in_progress")}),),
    _responses_word,
    (_named({"type": "response.completed", "sequence_number": 2, "response": _response("completed")}),),
)
ANTHROPIC = Family(
    "anthropic",
    "/v1/messages",
    (
        _named({"type": "message_start", "message": _ANTHROPIC_MESSAGE}),
        _named(
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        ),
    ),
    lambda text: _named(
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    ),
    (
        _named({"type": "content_block_stop", "index": 0}),
        _named(
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": {"output_tokens": 3},
            }
        ),
        _named({"type": "message_stop"}),
    ),
)
AI_SDK = Family(
    "ai-sdk",
    "/ai-sdk",
    ({"type": "start", "messageId": "m1"}, {"type": "text-start", "id": "t1"}),
    lambda text: {"type": "text-delta", "id": "t1", "delta": text},
    ({"type": "text-end", "id": "t1"}, {"type": "finish"}, "[DONE]"),
)
AG_UI = Family(
    "ag-ui",
    "/ag-ui",
    (
        {"type": "RUN_STARTED", "threadId": "t1", "runId": "r1"},
        {"type": "TEXT_MESSAGE_START", "messageId": "m1", "role": "assistant"},
    ),
    lambda text: {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m1", "delta": text},
    (
        {"type": "TEXT_MESSAGE_END", "messageId": "m1"},
        {"type": "RUN_FINISHED", "threadId": "t1", "runId": "r1"},
    ),
)
NDJSON = Family("ndjson", "/lines", (), lambda text: {"text": text}, ())

EVENT_STREAMS = (GENERIC, OPENAI_CHAT, OPENAI_RESPONSES, ANTHROPIC, AI_SDK, AG_UI)
