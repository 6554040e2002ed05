"""Endpoints with every kind of parameter.

Without `from __future__ import annotations`: the tests compile this module twice, once with annotations as
they are, and once with annotations as text.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Body, Cookie, Depends, Header, Path, Query, Request
from pydantic import BaseModel, Field
from starlette.requests import HTTPConnection

from endwell import Streams, cancel_on_disconnect

streams = Streams()
router = APIRouter(prefix="/room/{room}")
started: list[str] = []
"""The sources that began to run."""


class Chat(BaseModel):
    """A request's body."""

    model: str
    messages: Annotated[list[str], Field(min_length=1)]


@dataclass
class Token:
    """An item."""

    token: str


def user(authorization: Annotated[str, Header()] = "nobody") -> str:
    return authorization


User = Annotated[str, Depends(user)]


class Paging:
    """A dependency that is a class."""

    def __init__(self, limit: int = 10, offset: int = 0) -> None:
        self.limit = limit
        self.offset = offset


@router.get("/none")
@streams.sse
async def none() -> AsyncIterator[str]:
    yield "nothing asked"


@router.get("/path")
@streams.sse
async def path(room: int) -> AsyncIterator[str]:
    yield repr(room)


@router.get("/query")
@streams.sse
async def query(
    n: Annotated[int, Query(ge=1)], tag: Annotated[tuple[str, ...], Query()]
) -> AsyncIterator[str]:
    started.append("query")
    yield repr((n, tag))


@router.get("/header")
@streams.sse
async def header(x_token: Annotated[str, Header()], flavour: Annotated[str, Cookie()]) -> AsyncIterator[str]:
    yield repr((x_token, flavour))


@router.post("/body")
@streams.ndjson
async def body(chat: Chat, user: User) -> AsyncIterator[Token]:
    started.append("body")
    for message in chat.messages:
        yield Token(f"{user} asks {chat.model}: {message}")


@router.post("/embedded")
@streams.ndjson
async def embedded(chat: Annotated[Chat, Body(embed=True)], n: Annotated[int, Body()]) -> AsyncIterator[Any]:
    yield [chat.model, n]


@router.get("/depends")
@streams.sse
async def depends(paging: Annotated[Paging, Depends()], who: str = Depends(user)) -> AsyncIterator[Any]:
    yield [paging.limit, paging.offset, who]


@router.get("/sync")
@streams.bytes(media_type="text/csv")
def sync(room: Annotated[str, Path()], rows: int = 2) -> Iterator[str]:
    for row in range(rows):
        yield f"{room},{row}\n"


@router.get("/request")
@streams.sse
async def request(room: str, asked: Request) -> AsyncIterator[str]:
    yield f"{asked.method} {room} {asked.url.path}"


@router.get("/annotated-request")
@streams.sse
async def annotated_request(asked: Annotated[Request, "whose metadata is nobody's"]) -> AsyncIterator[str]:
    yield asked.method


@router.get("/connection")
@streams.sse
async def connection(asked: HTTPConnection) -> AsyncIterator[str]:
    yield asked.url.path


@router.post("/plain")
@cancel_on_disconnect
async def plain(room: str, chat: Chat, user: User, asked: Request) -> dict[str, Any]:
    return {"room": room, "model": chat.model, "user": user, "method": asked.method}


@router.get("/plain")
@cancel_on_disconnect
async def plain_without() -> None:
    return None
