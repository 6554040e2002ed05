"""Letting dependencies with `yield` know of an error that the server is not to know of."""

from __future__ import annotations

from contextlib import AsyncExitStack

from starlette.types import Scope

from endwell.errors import ClientError

_STACKS = ("fastapi_function_astack", "fastapi_inner_astack")
"""Where FastAPI (0.118 to 0.165) keeps the dependencies that are still open, the inner ones first."""


async def tell_dependencies(scope: Scope, error: ClientError) -> None:
    """Have FastAPI's open dependencies leave with `error`, so that they roll back.

    Raised to FastAPI itself it would reach the server, which logs it as a crash, and closes the connection.

    Raises:
        Exception: What a dependency raised in its place.
    """
    try:
        for name in _STACKS:
            stack = scope.get(name)
            if isinstance(stack, AsyncExitStack):
                # What has left is forgotten by the stack, so FastAPI's own leaving finds nothing to do.
                await stack.__aexit__(type(error), error, error.__traceback__)
    except ClientError as raised:
        if raised is not error:
            raise
