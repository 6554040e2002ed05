"""Admission before FastAPI's own dependencies: who waits, or is refused, is to hold nothing meanwhile."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

from starlette.requests import Request
from starlette.responses import Response

from endwell.asgi import Entry, Pump
from endwell.engine import Gate, Registry
from endwell.ext._endpoints import share
from endwell.ext._responses import ENTRY_KEY, StreamResponse

_HANDLERS = "starlette.exception_handlers"
_NAME = "endwell_admission"


class Admission:
    """An endpoint's gates as the first of its dependencies.

    FastAPI resolves dependencies in the order of the signature, and leaves those with `yield` whatever has
    happened since: so no place is lost if another dependency raises. Under Starlette, which has none, the
    response itself passes the gates.

    Args:
        registry: The application's streams.
        gates: What a request has to pass.
        prototype: A response like those of the endpoint, to say how a refusal is told.
    """

    def __init__(self, registry: Registry, gates: Sequence[Gate], prototype: StreamResponse) -> None:
        self._registry = registry
        self._gates = gates
        self._prototype = prototype
        self._keeps_body = False

    def before(self, signature: inspect.Signature, *, reads: bool) -> inspect.Signature:
        """The signature with the admission as its first parameter; as it is without FastAPI."""
        self._keeps_body = reads
        if importlib.util.find_spec("fastapi") is None:
            return signature
        from fastapi import Depends  # noqa: PLC0415 - an extra

        first = inspect.Parameter(
            _NAME,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            annotation=Annotated[None, Depends(self._admit)],
        )
        others = [
            each.replace(kind=first.kind) if each.kind is inspect.Parameter.POSITIONAL_ONLY else each
            for each in signature.parameters.values()
        ]
        return signature.replace(parameters=[first, *others])

    @staticmethod
    def take(kwargs: dict[str, Any]) -> None:
        """Leave out of a call what FastAPI has put in for us."""
        kwargs.pop(_NAME, None)

    async def _admit(self, request: Request) -> AsyncIterator[None]:
        if not self._prototype.needs_a_source(request.scope):
            yield
            return
        entry = Entry(Pump(request.receive, keep_all=self._keeps_body))
        await entry.pass_through(self._registry, self._gates, request)
        try:
            if entry.refused is not None:
                raise self._refusal(entry, request)
            if entry.pump.running or entry.pump.gone:
                share(request, entry.pump)
            request.scope[ENTRY_KEY] = entry
            yield
        finally:
            request.scope.pop(ENTRY_KEY, None)  # it lets nobody in any more
            await entry.give_up()

    def _refusal(self, entry: Entry, request: Request) -> Refused:
        # Starlette has no other way to answer from within a dependency: an exception, and a handler for it,
        # which the application may replace by its own.
        handlers = request.scope.get(_HANDLERS)
        if handlers is not None:
            handlers[0].setdefault(Refused, _answer)
        return Refused(self._prototype.turn_away(entry, request.scope))


class Refused(Exception):
    """A stream that was not let in.

    Args:
        response: What its client is told.
    """

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


async def _answer(_: Request, refused: Exception) -> Response:
    assert isinstance(refused, Refused)
    return refused.response
