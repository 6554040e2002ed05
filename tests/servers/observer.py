"""What a test asks a running server: the ledger's records, the live streams, and its log."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from tests.servers.client import connect
from tests.servers.servers import Server

DEADLINE = 5.0
"""Seconds until something that takes milliseconds must have happened: it only bounds a failing test."""
LATENCIES = "latency_ms"
"""The `record_property` name under which a test hands in (group, [ms, …]) for the table at the end."""

Record = dict[str, Any]


def get_json(server: Server, path: str, *, method: str = "GET") -> Any:
    """The JSON that `server` answers, over a connection of its own."""
    with connect(server) as connection:
        connection.request(path, method=method, headers=(("connection", b"close"),))
        body = connection.read_to_end()
        assert connection.head is not None
        assert connection.head.status == 200, body
        return json.loads(body)


@dataclass
class Observer:
    """One test's view of one server: its own tag, and the log from the test's beginning on."""

    server: Server
    tag: str = field(default_factory=lambda: uuid4().hex)
    _log_start: int = 0

    def __post_init__(self) -> None:
        self._log_start = len(self.server.output())

    def url(self, path: str, key: object = 0) -> str:
        """The absolute URL of a source."""
        return self.server.url + self.path(path, key)

    def path(self, path: str, key: object = 0) -> str:
        """The request target of a source: `path` with this test's tag and the client's `key`."""
        return f"{path}?tag={self.tag}&key={key}"

    def forget_others(self) -> None:
        """Begin the log anew, when the server has written down what the tests before this one left."""
        time.sleep(self.server.config.reports_within)
        self._log_start = len(self.server.output())

    def log(self) -> str:
        """What the server wrote since the test began."""
        return self.server.output()[self._log_start :]

    def records(self) -> list[Record]:
        """The records under this test's tag."""
        found: list[Record] = get_json(self.server, f"/ledger?tag={self.tag}")["records"]
        return found

    def orphans(self) -> list[Record]:
        """All endings, of any test, of streams whose source never started."""
        found: list[Record] = get_json(self.server, f"/ledger?tag={self.tag}")["orphans"]
        return found

    def active(self) -> list[str]:
        """The ids of the live streams."""
        found: list[str] = get_json(self.server, "/active")
        return found

    def stop(self, stream: str) -> bool:
        """Press the stop button of a stream."""
        stopped: bool = get_json(self.server, f"/stop/{stream}", method="POST")
        return stopped

    def wait(self, what: str, until: Callable[[list[Record]], bool]) -> list[Record]:
        """Poll the records until `until(records)`; fails with them after `DEADLINE` seconds."""
        deadline = time.monotonic() + DEADLINE
        records = self.records()
        while not until(records):
            assert time.monotonic() < deadline, f"not {what} after {DEADLINE} s: {_summary(records)}"
            time.sleep(0.01)
            records = self.records()
        return records

    def wait_started(self, count: int) -> list[Record]:
        """Until `count` sources have started."""
        return self.wait(f"{count} started", lambda records: len(records) >= count)

    def wait_blocked(self, count: int) -> list[Record]:
        """Until `count` sources have produced something and none produces any more."""
        seen: list[list[int]] = []

        def stands_still(records: list[Record]) -> bool:
            seen.append([record["chunks"] for record in records])
            time.sleep(0.1)
            return len(records) == count and all(seen[-1]) and len(seen) > 1 and seen[-1] == seen[-2]

        return self.wait("blocked in send", stands_still)

    def wait_ended(self, count: int, outcome: str) -> list[Record]:
        """Until `count` sources have finished their awaited cleanup, each with one ending: `outcome`."""

        def ended(records: list[Record]) -> bool:
            over = [record for record in records if record["done"] is not None and record["endings"]]
            return len(records) == count and len(over) == count

        self.wait(f"{count} ended", ended)
        self.wait_nothing_active()
        records = self.records()  # once more: a second ending would have come by now
        assert [outcomes(record) for record in records] == [[outcome]] * count
        return records

    def wait_told(self, outcome: str) -> None:
        """Until the only source has cleaned up and its response's callback was told of `outcome`, once."""
        self.wait("told", lambda records: bool(records and records[0]["done"] and records[0]["told"]))
        (record,) = self.records()
        assert [ending["outcome"] for ending in record["told"]] == [outcome]

    def wait_nothing_active(self) -> None:
        """Until no stream is live."""
        deadline = time.monotonic() + DEADLINE
        while active := self.active():
            assert time.monotonic() < deadline, f"still active: {active}"
            time.sleep(0.01)


def outcomes(record: Record) -> list[str]:
    """The outcomes of all endings that were reported for one source."""
    return [ending["outcome"] for ending in record["endings"]]


def _summary(records: Sequence[Record]) -> str:
    shown = "\n".join(f"  {record}" for record in records[:5])
    return f"{len(records)} records, the first of them\n{shown}"
