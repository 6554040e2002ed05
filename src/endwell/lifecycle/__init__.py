"""What may happen to a stream, and when. Pure: no asyncio, no clock, no socket."""

from endwell.lifecycle._machine import TRANSITIONS, Act, Farewell, IllegalStep, Machine, State, Step
from endwell.lifecycle._outcome import OUTCOMES, Cause, Outcome

__all__ = [
    "OUTCOMES",
    "TRANSITIONS",
    "Act",
    "Cause",
    "Farewell",
    "IllegalStep",
    "Machine",
    "Outcome",
    "State",
    "Step",
]
