"""Everything that clients do to a stream, as far as one machine lets them."""

from __future__ import annotations

import itertools
import random
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from benchmarks.growth.clients import Crowd, Member

WHILE = 15.0  # seconds in which they leave; those who stop reading in a third of it, as that takes its time
PAUSE = 5.0  # seconds
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: a close is a reset
SEED = 1
BUTTONS = 20
ANSWER = 0.05  # seconds in which what was answered must be there

Act: TypeAlias = "Callable[[], object]"
Members: TypeAlias = "Mapping[Way, Sequence[Member]]"


@dataclass(frozen=True, slots=True)
class Way:
    """What some of the clients do.

    Attributes:
        name: in words.
        outcome: what the stream's must be.
        is_narrow: they can hold next to nothing that they have not read.
        sees_the_end: its client reads to the end, so that it must have every chunk that the server took.
    """

    name: str
    outcome: str = "client_gone"
    is_narrow: bool = False
    sees_the_end: bool = False


CLOSES = Way("close the connection")
RESETS = Way("reset it")
HALF_CLOSES = Way("close their half of it")
STOPS = Way("are stopped by a button", "stopped", sees_the_end=True)
TEARS = Way("close it in the middle of an event")
STALLS = Way("stop reading", "slow_client", is_narrow=True)
PAUSES = Way(f"do not read for {PAUSE:g} s, and then again")
STAYS = Way("read to the end")
LEAVES = (CLOSES, RESETS, HALF_CLOSES, STOPS, TEARS, STALLS)


class Buttons:
    """Some connections for orders, in turn: on one alone, each order would wait for the answer before."""

    def __init__(self, port: int) -> None:
        self._sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(BUTTONS)]
        self._next = itertools.cycle(self._sockets)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self._sockets:
            each.close()

    def press(self, path: str) -> None:
        """Order it; the answers are read later, all together."""
        order = f"POST {path} HTTP/1.1\r\nHost: benchmark\r\nContent-Length: 0\r\n\r\n"
        next(self._next).send(order.encode())

    def answers(self) -> bytes:
        """Everything that was answered so far."""
        answers = b""
        for each in self._sockets:
            each.settimeout(ANSWER)
            with suppress(TimeoutError):
                while more := each.recv(1 << 16):
                    answers += more
        return answers


def plan(crowd: Crowd, members: Members, buttons: Buttons) -> Iterator[tuple[float, Act]]:
    """Who does what, so many seconds from the beginning."""
    drawn = random.Random(SEED)
    for way, readers in members.items():
        for reader in readers:
            begins = drawn.uniform(0, WHILE / 3 if way is STALLS else WHILE)
            for after, act in _acts(way, reader, crowd, buttons):
                yield begins + after, act


def _acts(way: Way, reader: Member, crowd: Crowd, buttons: Buttons) -> Iterator[tuple[float, Act]]:
    """What one does, so many seconds from when it begins."""
    if way is CLOSES:
        yield 0, partial(_close, crowd, reader)
    elif way is RESETS:
        yield 0, partial(_reset, crowd, reader)
    elif way is HALF_CLOSES:
        yield 0, partial(reader.socket.shutdown, socket.SHUT_WR)
    elif way is STOPS:
        yield 0, partial(_stop, buttons, reader)
    elif way is TEARS:
        yield 0, partial(_tear, reader)
    elif way is STALLS:
        yield 0, partial(_stall, crowd, buttons, reader)
    elif way is PAUSES:
        yield 0, partial(crowd.leave_alone, reader)
        yield PAUSE, partial(_read_on, crowd, reader)


def _close(crowd: Crowd, reader: Member) -> None:
    crowd.leave_alone(reader)
    reader.socket.close()


def _reset(crowd: Crowd, reader: Member) -> None:
    reader.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    _close(crowd, reader)


def _stop(buttons: Buttons, reader: Member) -> None:
    buttons.press(f"/streams/{reader.stream}/stop")


def _stall(crowd: Crowd, buttons: Buttons, reader: Member) -> None:
    """Read no more; and have more come, for until every buffer is full it is not to be seen."""
    crowd.leave_alone(reader)
    buttons.press(f"/longer/{reader.number}")


def _tear(reader: Member) -> None:
    reader.leaves_next = True


def _read_on(crowd: Crowd, reader: Member) -> None:
    reader.catch_up()
    crowd.take_up(reader)
