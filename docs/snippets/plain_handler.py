import asyncio

from fastapi import FastAPI

from endwell import cancel_on_disconnect

app = FastAPI()


@app.get("/answer")
@cancel_on_disconnect
async def answer() -> dict[str, int]:
    await asyncio.sleep(30)  # what the client may not wait for
    return {"answer": 42}
