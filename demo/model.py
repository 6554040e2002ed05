"""The language model behind the chat: our own second process, or a real one.

With OPENAI_BASE_URL and OPENAI_API_KEY set, that model answers (OPENAI_MODEL names it; otherwise the first it
lists). Nobody can then say when *it* saw the connection close, and the panel says so.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from openai import AsyncOpenAI, AsyncStream, BaseModel, DefaultAsyncHttpxClient, OpenAIError
from openai.types.chat import ChatCompletionChunk

_ROOT = Path(__file__).resolve().parents[1]
_PATIENCE = 2.0
"""Seconds the second process has to end by itself."""


class Sighting(BaseModel):
    """How a request's connection ended, as the model saw it; `at` is in seconds since 1970."""

    seen: Literal["open", "closed", "finished", "unknown"]
    at: float | None = None
    chunks: int = 0


@dataclass(frozen=True)
class Model:
    """A model and the client that talks to it. `witness` is the address where it tells what it saw."""

    client: AsyncOpenAI
    name: str
    witness: str | None = None

    async def ask(self, question: str, request_id: str) -> AsyncStream[ChatCompletionChunk]:
        """Open the streamed answer; use it in an `async with`, which closes the connection."""
        return await self.client.chat.completions.create(
            model=self.name,
            messages=[{"role": "user", "content": question}],
            stream=True,
            extra_headers={"X-Request-Id": request_id},
        )

    async def sighting(self, request_id: str) -> Sighting | None:
        """What the model itself saw of that request's connection; None if it never came there."""
        if self.witness is None:
            return Sighting(seen="unknown")
        try:
            return await self.client.get(f"{self.witness}/{request_id}", cast_to=Sighting)
        except OpenAIError:
            return None


@asynccontextmanager
async def language_model() -> AsyncIterator[Model]:
    """The model for the time inside; our own process is started before, and gone afterwards."""
    if os.environ.get("OPENAI_BASE_URL") and os.environ.get("OPENAI_API_KEY"):
        async with AsyncOpenAI(max_retries=0) as client:
            yield Model(client, os.environ.get("OPENAI_MODEL") or await _first_model(client))
    else:
        async with _second_process() as address, _local_client(address) as client:
            yield Model(client, await _first_model(client), witness=f"{address}/observed")


async def _first_model(client: AsyncOpenAI) -> str:
    return (await client.models.list()).data[0].id


def _local_client(address: str) -> AsyncOpenAI:
    untouched_by_proxies = DefaultAsyncHttpxClient(trust_env=False)
    return AsyncOpenAI(
        base_url=f"{address}/v1", api_key="none needed", max_retries=0, http_client=untouched_by_proxies
    )


@asynccontextmanager
async def _second_process() -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # bound here: it can be called before it is up
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        process = await _start(listener)
    try:
        yield address
    finally:
        await _end(process)


async def _start(listener: socket.socket) -> Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "demo.upstream", "--fd", str(listener.fileno())),
        cwd=_ROOT,
        stdin=PIPE,
        pass_fds=(listener.fileno(),),
        start_new_session=True,  # Ctrl-C is for the demo, which ends its streams before their upstream
    )


async def _end(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()
