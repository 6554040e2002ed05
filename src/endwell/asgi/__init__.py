"""Plain ASGI: one reader of `receive`, one response, one middleware."""

from endwell.asgi._address import ClientAddress
from endwell.asgi._admit import Entry
from endwell.asgi._cancel import CLIENT_CLOSED_REQUEST, CancelOnDisconnect, Handler
from endwell.asgi._connection import refusal_headers
from endwell.asgi._departure import Departure
from endwell.asgi._plan import Plan
from endwell.asgi._pump import Pump
from endwell.asgi._respond import rejection_of, respond

__all__ = [
    "CLIENT_CLOSED_REQUEST",
    "CancelOnDisconnect",
    "ClientAddress",
    "Departure",
    "Entry",
    "Handler",
    "Plan",
    "Pump",
    "refusal_headers",
    "rejection_of",
    "respond",
]
