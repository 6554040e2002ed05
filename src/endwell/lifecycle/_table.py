"""The states of a stream, and the steps between them: the table that the machine follows."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    """Where a stream is in its life."""

    HELD = "held"
    """Running; the status line is held back until the first chunk."""
    OPEN = "open"
    """Running; the status line is out."""
    FLUSHING = "flushing"
    """The source ended by itself; its last bytes are on their way."""
    UNATTENDED = "unattended"
    """The client has left; the source runs on without it."""
    CLOSING = "closing"
    """The outcome is decided; the source is being cleaned up and the client told."""
    ENDED = "ended"


class Step(StrEnum):
    """What the engine reports. `ASKED`, `LEFT` and `END` are fed as the `Cause` they stand for."""

    FIRST_CHUNK = "first chunk"
    SOURCE_ENDED = "source ended"
    FLUSHED = "flushed"
    ASKED = "stop or drain"
    LEFT = "client left"
    """Where the policy's `on_leave` lets the source go on; elsewhere it is any other cause."""
    END = "any other cause"
    TICK = "tick"
    CLEANUP_DONE = "cleanup done"


class Act(StrEnum):
    """What the engine has to do now."""

    NOTHING = "nothing"
    COMMIT = "commit"
    """Send the status line, although there is no chunk yet."""
    HEARTBEAT = "heartbeat"
    FINISH = "finish"
    """Write what is left, then the end of the body."""
    DETACH = "detach"
    """The outcome stands, and nothing more can be sent; but let the source go on."""
    CANCEL = "cancel"
    """The outcome stands: end the source, say the farewell."""
    ABANDON = "abandon"
    """The cleanup is overdue: report it and go on without."""
    REPORT = "report"
    """All is over: publish the ending."""


class Farewell(StrEnum):
    """What a client can still be told."""

    NOTHING = "nothing"
    """Nobody is there to be told."""
    FINISH = "finish"
    """The regular end of the body."""
    STATUS = "status"
    """A real HTTP error: the status line is not out yet."""
    FRAME = "frame"
    """A terminal frame, or a cut body where the format has none."""


_RUNNING: Mapping[Step, State] = {
    Step.SOURCE_ENDED: State.FLUSHING,
    Step.ASKED: State.CLOSING,
    Step.LEFT: State.UNATTENDED,
    Step.END: State.CLOSING,
}

TRANSITIONS: Mapping[State, Mapping[Step, State]] = MappingProxyType(
    {
        State.HELD: {**_RUNNING, Step.FIRST_CHUNK: State.OPEN, Step.TICK: State.HELD},
        State.OPEN: {**_RUNNING, Step.FIRST_CHUNK: State.OPEN, Step.TICK: State.OPEN},
        State.FLUSHING: {
            Step.FLUSHED: State.CLOSING,
            Step.ASKED: State.FLUSHING,  # it is ending well already: let it, for a time if it is a drain
            Step.END: State.CLOSING,
            Step.TICK: State.FLUSHING,
        },
        State.UNATTENDED: {
            Step.FIRST_CHUNK: State.UNATTENDED,
            Step.SOURCE_ENDED: State.CLOSING,
            Step.ASKED: State.CLOSING,
            Step.LEFT: State.UNATTENDED,
            Step.END: State.CLOSING,
            Step.TICK: State.UNATTENDED,
        },
        State.CLOSING: {
            Step.CLEANUP_DONE: State.ENDED,
            Step.SOURCE_ENDED: State.CLOSING,
            Step.ASKED: State.CLOSING,
            Step.END: State.CLOSING,
            Step.TICK: State.CLOSING,
        },
        State.ENDED: dict.fromkeys(
            (Step.SOURCE_ENDED, Step.ASKED, Step.END, Step.TICK, Step.CLEANUP_DONE), State.ENDED
        ),
    }
)
"""State -> step -> next state. The diagram in the docs is drawn from this. Deadlines that pass are fed as
TICK, and lead where the cause they stand for leads."""
