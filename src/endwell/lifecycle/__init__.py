"""What may happen to a stream, and when. Pure: no asyncio, no clock, no socket."""

from endwell.lifecycle._machine import TRANSITIONS, Act, Farewell, Machine, State, Step
from endwell.lifecycle._outcome import OUTCOMES, Cause, Outcome

__all__ = [
    "OUTCOMES",
    "TRANSITIONS",
    "Act",
    "Cause",
    "Farewell",
    "Machine",
    "Outcome",
    "State",
    "Step",
]
