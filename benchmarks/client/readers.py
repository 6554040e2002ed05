"""Readers that come and go one by one, under one epoll: what each reads is its own affair."""

from __future__ import annotations

import select
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from benchmarks.harness.process import BenchmarkError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

READ = 1 << 16
WIDTH = 512  # events taken per poll
BATCH = 100  # that are opened together


class Reader(ABC):
    """One connection that is being made, and a request on it."""

    __slots__ = ()

    socket: socket.socket

    @property
    @abstractmethod
    def is_served(self) -> bool:
        """Whether its first event has come."""

    @property
    @abstractmethod
    def is_over(self) -> bool:
        """Whether its body or its connection has ended."""

    @abstractmethod
    def ask(self) -> None:
        """It is connected, or was refused: send the request."""

    @abstractmethod
    def take(self) -> None:
        """Read what is there."""

    def receive(self) -> bytes:
        """What is there; nothing, if the connection has ended, in whatever way."""
        try:
            return self.socket.recv(READ)
        except OSError:
            return b""


SomeReader = TypeVar("SomeReader", bound=Reader)


class Readers(Generic[SomeReader]):
    """All readers that are read; a context manager that closes what is left.

    Args:
        gather: seconds to let come what comes, before each look. Who sleeps until something comes is woken
            by the server's core for each write, which costs it as much again; across a network it does not.
    """

    def __init__(self, gather: float = 0.0) -> None:
        self._gather = gather
        self._poll = select.epoll()
        self._open: dict[int, SomeReader] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reader in self._open.values():
            reader.socket.close()
        self._poll.close()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, reader: SomeReader) -> SomeReader:
        """Let it ask as soon as it is connected, and read."""
        self._open[reader.socket.fileno()] = reader
        self._poll.register(reader.socket, select.EPOLLOUT)
        return reader

    def open_served(
        self, make: Callable[[int], SomeReader], numbers: Sequence[int], limit: float
    ) -> list[SomeReader]:
        """A reader for each number, in batches, each of which has had its first event.

        Raises:
            BenchmarkError: A batch was not served within `limit` seconds.
        """
        readers: list[SomeReader] = []
        while len(readers) < len(numbers):
            batch = [self.add(make(number)) for number in numbers[len(readers) : len(readers) + BATCH]]
            self._until_served(batch, time.monotonic() + limit)
            readers += batch
        return readers

    def _until_served(self, batch: Sequence[SomeReader], limit: float) -> None:
        while not all(reader.is_served for reader in batch):
            if time.monotonic() > limit:
                raise BenchmarkError(f"{len(self)} streams are open, and no more are served")
            for _ in self.turn(1):
                raise BenchmarkError(f"one of {len(self)} streams has ended before all were there")

    def turn(self, seconds: float) -> Iterator[SomeReader]:
        """Wait once, at most so long, and read what came; yield those whose stream ended."""
        if self._gather:
            time.sleep(min(self._gather, max(0.0, seconds)))
            seconds -= self._gather
        for descriptor, event in self._poll.poll(max(0.0, seconds), WIDTH):
            reader = self._open.get(descriptor)
            if reader is None:  # left, or left alone, since
                continue
            if event & select.EPOLLOUT:
                reader.ask()
                self._poll.modify(descriptor, select.EPOLLIN)
            else:
                reader.take()
            if reader.socket.fileno() < 0:  # it has left by itself
                del self._open[descriptor]
            elif reader.is_over:
                del self._open[descriptor]
                reader.socket.close()
                yield reader

    def read_for(self, seconds: float) -> list[SomeReader]:
        """Read for so long; those whose stream ended."""
        limit = time.monotonic() + seconds
        ended: list[SomeReader] = []
        while (left := limit - time.monotonic()) > 0:
            ended += self.turn(left)
        return ended

    def leave_alone(self, reader: SomeReader) -> None:
        """Read this one no more."""
        self._poll.unregister(reader.socket)
        del self._open[reader.socket.fileno()]

    def take_up(self, reader: SomeReader) -> None:
        """Read this one again."""
        self._open[reader.socket.fileno()] = reader
        self._poll.register(reader.socket, select.EPOLLIN)

    def close(self) -> None:
        """Close every connection at once."""
        for reader in [*self._open.values()]:
            self.leave_alone(reader)
            reader.socket.close()
