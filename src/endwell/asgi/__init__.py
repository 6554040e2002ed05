"""Plain ASGI: one reader of `receive`, one response, one middleware."""

from ._cancel import CLIENT_CLOSED_REQUEST, CancelOnDisconnect, run_until_gone
from ._pump import Pump
from ._respond import Plan, respond
from ._signals import on_shutdown_signal

__all__ = [
    "CLIENT_CLOSED_REQUEST",
    "CancelOnDisconnect",
    "Plan",
    "Pump",
    "on_shutdown_signal",
    "respond",
    "run_until_gone",
]
