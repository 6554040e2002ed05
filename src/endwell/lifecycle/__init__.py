"""What may happen to a stream, and when. Pure: no asyncio, no clock, no socket."""

from endwell.lifecycle._admission import Admission, Standing, Visitor
from endwell.lifecycle._drain import LAST, DrainPlan
from endwell.lifecycle._machine import Machine
from endwell.lifecycle._outcome import OUTCOMES, Cause, Outcome
from endwell.lifecycle._table import TRANSITIONS, Act, Farewell, State, Step

__all__ = [
    "LAST",
    "OUTCOMES",
    "TRANSITIONS",
    "Act",
    "Admission",
    "Cause",
    "DrainPlan",
    "Farewell",
    "Machine",
    "Outcome",
    "Standing",
    "State",
    "Step",
    "Visitor",
]
