import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse

from endwell import Streams

PAGE = Path(__file__).with_name("stopping.html").read_text(encoding="utf-8")


def user(request: Request) -> str:
    """Who asks: whatever your sessions or tokens say. Here, who has been to the page."""
    if name := request.cookies.get("user"):
        return name
    raise HTTPException(401)


streams = Streams(id_header="x-stream-id")
app = FastAPI(lifespan=streams.lifespan)
app.mount("/streams", streams.stop_endpoint(owner=user))


@app.get("/")
async def page() -> HTMLResponse:
    response = HTMLResponse(PAGE)
    response.set_cookie("user", secrets.token_hex(16), httponly=True, samesite="strict")
    return response


@app.post("/story")
@streams.ndjson(owner=user)
async def story() -> AsyncIterator[str]:
    while True:
        for word in ("once", "upon", "a", "time"):
            yield word
            await asyncio.sleep(0.3)
