"""What `from endwell import …` offers: few names, each documented, none that needs more than Starlette."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import endwell

WITHOUT_EXTRAS = """
import asyncio, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"fastapi", "pydantic", "pydantic_core", "uvicorn", "uvloop", "orjson"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())

from starlette.applications import Starlette
from starlette.routing import Route
from endwell import EventStream, Streams, cancel_on_disconnect

streams = Streams()

@streams.sse
async def talk(request):
    yield {"token": "a"}

@cancel_on_disconnect
async def plain(request):
    return EventStream(["b"])

app = Starlette(routes=[Route("/talk", talk), Route("/plain", plain)], lifespan=streams.lifespan)

async def get(path):
    body = b""
    left = asyncio.Event()

    async def receive():
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        nonlocal body
        body += message.get("body", b"")

    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
    await app(scope, receive, send)
    return body

async def main():
    async with streams.lifespan(app):
        print(await get("/talk"), await get("/plain"))

asyncio.run(main())
"""


def run(program: str) -> str:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True
    ).stdout


def test_a_starlette_application_needs_no_extra() -> None:
    assert run(WITHOUT_EXTRAS) == repr(b'data: {"token":"a"}\n\n') + " " + repr(b"data: b\n\n") + "\n"


def test_the_names_are_sorted_and_named_once() -> None:
    assert endwell.__all__ == sorted(set(endwell.__all__))
    assert len(endwell.__all__) <= 40


def members() -> Iterator[tuple[str, Any]]:
    """Every public name, and every public member that endwell defines for it."""
    for name in endwell.__all__:
        thing = getattr(endwell, name)
        yield name, thing
        if inspect.isclass(thing):
            for member, value in vars(thing).items():
                is_ours = inspect.isfunction(value) or isinstance(
                    value, (property, classmethod, staticmethod)
                )
                if not member.startswith("_") and is_ours:
                    yield f"{name}.{member}", value


@pytest.mark.parametrize(("name", "thing"), list(members()), ids=[name for name, _ in members()])
def test_every_public_name_is_documented(name: str, thing: Any) -> None:
    documentation = inspect.getdoc(thing) or ""
    assert len(documentation) > 10
    # A dataclass without words of its own has its signature for a docstring.
    assert not documentation.startswith(f"{name}(")


@pytest.mark.parametrize(
    "name", [name for name in endwell.__all__ if inspect.isclass(getattr(endwell, name))]
)
def test_a_public_class_says_that_it_is_endwells(name: str) -> None:
    assert getattr(endwell, name).__module__.startswith("endwell.")


def test_every_error_is_an_endwell_error() -> None:
    classes = [getattr(endwell, name) for name in endwell.__all__]
    errors = [each for each in classes if inspect.isclass(each) and issubclass(each, BaseException)]
    assert errors
    assert all(issubclass(each, endwell.EndwellError) for each in errors)
