"""Plain ASGI: one reader of `receive`, one response, one middleware."""

from endwell.asgi._cancel import CLIENT_CLOSED_REQUEST, CancelOnDisconnect, Handler
from endwell.asgi._pump import Pump
from endwell.asgi._respond import Plan, respond
from endwell.asgi._signals import on_shutdown_signal

__all__ = [
    "CLIENT_CLOSED_REQUEST",
    "CancelOnDisconnect",
    "Handler",
    "Plan",
    "Pump",
    "on_shutdown_signal",
    "respond",
]
