"""Letting a request in, before any of its stream's work begins."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Hashable, Sequence
from typing import Any

from endwell.asgi._address import ClientAddress
from endwell.asgi._pump import Pump
from endwell.engine import Gate, Place, Registry, Ticket
from endwell.errors import ConfigurationError
from endwell.lifecycle import Cause

_ADDRESS = ClientAddress()


class Entry:
    """A request at the gates: in, or not.

    Attributes:
        refused: Why it was not let in; None if it was.
        key: What a limit counts it by.
        waited: Seconds it stood in a queue.
        gate: The one that did not let it in.
        pump: Reads on for whoever answers the request.
    """

    __slots__ = ("_tickets", "gate", "key", "pump", "refused", "waited")

    def __init__(self, pump: Pump) -> None:
        self.pump = pump
        self.refused: Cause | None = None
        self.key: Hashable | None = None
        self.waited = 0.0
        self.gate: Gate | None = None
        self._tickets: list[Ticket] = []

    async def pass_through(self, registry: Registry, gates: Sequence[Gate], request: Any) -> None:
        """Pass one gate after the other, or none.

        Args:
            registry: The application's streams.
            gates: Its gate and the endpoint's, as far as there are any.
            request: The Starlette request, for their keys.

        Raises:
            Exception: What a key's function raised, such as an HTTPException; no place is taken then.
            ConfigurationError: A key cannot be counted by.
        """
        if registry.draining:
            self.refused = Cause.DRAINING
            return
        now = asyncio.get_running_loop().time
        # All keys first: they may ask somebody, or read the body, which nobody else does yet.
        keys = [await _key_of(gate, request) for gate in gates]
        began = now()
        try:
            for gate, key in zip(gates, keys, strict=True):
                passed = await self._ask(gate, key)
                if not isinstance(passed, Ticket):
                    self.refused, self.gate = passed, gate
                    self.leave()
                    break
                self._tickets.append(passed)
        except BaseException:
            await self.give_up()
            raise
        self.waited = now() - began

    async def _ask(self, gate: Gate, key: Hashable | None) -> Ticket | Cause:
        self.key = key if key is not None else self.key
        passed = gate.ask(key)
        if isinstance(passed, Place):
            self.pump.start()  # who waits may leave
            self.pump.listen(_Waiting(passed))
            passed = await passed.wait()
        return passed

    def leave(self) -> None:
        """Give the places back."""
        while self._tickets:
            self._tickets.pop().leave()

    async def give_up(self) -> None:
        """Give the places back, and read no more."""
        self.leave()
        await self.pump.end()


class _Waiting:
    """Who gives up its place in the queue when its client leaves."""

    __slots__ = ("_place",)

    def __init__(self, place: Place) -> None:
        self._place = place

    def client_gone(self) -> None:
        """See `Listener`."""
        self._place.withdraw(Cause.DISCONNECT)


async def _key_of(gate: Gate, request: Any) -> Hashable | None:
    find = gate.limits.key
    if find is None:
        return _ADDRESS(request) if gate.limits.per_key is not None else None
    key = find(request)
    if inspect.isawaitable(key):
        key = await key
    if not isinstance(key, Hashable):
        raise ConfigurationError(f"a limit's key must give what can be hashed, or None; got {key!r}")
    return key
