"""A client that leaves, in every way, at every moment: the work stops, its cleanup finishes, one ending."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.servers.client import Connection, connect, connections
from tests.servers.observer import LATENCIES, Observer, outcomes

SMALL_BUFFER = 8192
"""The receive buffer of a client that does not read, so that few bytes block the server."""
LEFT_BY = {"CancelledError", "GeneratorExit"}
"""What goes through a source that is cancelled while it waits, or closed while suspended at its `yield`."""


def _idle(observer: Observer, clients: list[Connection]) -> None:
    for client in clients:
        client.read_until(b"chunk 0")


def _sending(observer: Observer, clients: list[Connection]) -> None:
    for client in clients:
        client.read_until(b"chunk 2")


def _blocked(observer: Observer, clients: list[Connection]) -> None:
    observer.wait_blocked(len(clients))


def _silent(observer: Observer, clients: list[Connection]) -> None:
    observer.wait_started(len(clients))


PHASES: dict[str, tuple[str, Callable[[Observer, list[Connection]], None]]] = {
    "idle": ("/sse/idle", _idle),
    "sending": ("/sse/sending", _sending),
    "blocked": ("/raw/big", _blocked),
    "first": ("/sse/silent", _silent),
}
"""The moment at which a client leaves: a source, and how to wait until all of them are there."""


def _leave(observer: Observer, prefix: str, phase: str, how: str, count: int) -> list[float]:
    """Have `count` clients leave in `phase`; ms from each one's close until its source's `finally`."""
    path, arrive = PHASES[phase]
    buffer = SMALL_BUFFER if phase == "blocked" else None
    with connections(observer.server, count, receive_buffer=buffer) as clients:
        for key, client in enumerate(clients):
            client.request(observer.path(prefix + path, key))
        arrive(observer, clients)
        left = {str(key): client.leave(how) for key, client in enumerate(clients)}
        records = observer.wait_ended(count, "client_gone")
    assert {record["left"] for record in records} <= LEFT_BY
    return [(record["cleanup"] - left[record["key"]]) / 1e6 for record in records]


SHARE = 25
"""Clients per case: all cases of a configuration together make 200."""


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("phase", PHASES)
def test_a_leaving_client_stops_its_source_whose_cleanup_finishes(
    observer: Observer, phase: str, how: str, record_property: Callable[[str, object], None]
) -> None:
    milliseconds = _leave(observer, "", phase, how, SHARE)
    record_property(LATENCIES, (f"{observer.server.name}: to the source's finally", milliseconds))
    record_property(LATENCIES, (f"all servers: {phase}, {how}", milliseconds))


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("phase", PHASES)
def test_a_leaving_client_stops_its_source_behind_a_middleware(
    observer: Observer, phase: str, how: str, record_property: Callable[[str, object], None]
) -> None:
    milliseconds = _leave(observer, "/base", phase, how, 5)
    record_property(LATENCIES, (f"{observer.server.name}: the same behind BaseHTTPMiddleware", milliseconds))


@pytest.mark.parametrize("phase", ["idle", "sending", "first"])
def test_a_half_close_is_a_leaving_client(observer: Observer, phase: str) -> None:
    _leave(observer, "", phase, "half-close", 3)


def test_a_half_close_while_send_is_blocked_is_noticed_at_the_latest_when_the_connection_closes(
    observer: Observer,
) -> None:
    with connect(observer.server, receive_buffer=SMALL_BUFFER) as client:
        client.request(observer.path("/raw/big"))
        observer.wait_blocked(1)
        client.half_close()
        if not observer.server.config.half_close_hidden:
            observer.wait_ended(1, "client_gone")
        client.rst()
        observer.wait_ended(1, "client_gone")


@pytest.mark.parametrize(
    "path", ["/response/sse/idle", "/response/ndjson/idle", "/response/raw/idle", "/asgi/idle"]
)
def test_a_response_object_ends_as_a_decorated_endpoint_does(observer: Observer, path: str) -> None:
    with connect(observer.server) as client:
        client.request(observer.path(path))
        client.read_until(b"chunk 0")
        client.rst()
        observer.wait_told("client_gone")


@pytest.mark.parametrize("prefix", ["", "/base"])
def test_a_client_that_leaves_before_the_first_byte_leaves_one_ending(
    observer: Observer, prefix: str
) -> None:
    count = 20
    with connections(observer.server, count) as clients:
        for key, client in enumerate(clients):
            client.request(observer.path(prefix + "/sse/idle", key))
            client.leave("rst" if key % 2 else "fin")
    with connect(observer.server) as last:  # it is served after all of them were
        last.request(observer.path(prefix + "/sse/idle", "last"))
        last.read_until(b"chunk 0")

    # Whoever left before the server looked may have had no source at all: what started has ended.
    observer.wait("every source ended", lambda found: all(each["done"] and each["endings"] for each in found))
    observer.wait_nothing_active()
    assert all(outcomes(record) == ["client_gone"] for record in observer.records())
    unstarted = [ending["id"] for ending in observer.orphans()]
    assert len(unstarted) == len(set(unstarted))


def test_a_client_that_leaves_during_the_cleanup_changes_nothing(observer: Observer) -> None:
    with connect(observer.server) as client:
        client.request(observer.path("/sse/slow_to_leave"))
        client.read_until(b"chunk 0")
        client.half_close()
        observer.wait("in its cleanup", lambda records: records[0]["cleanup"] is not None)
        client.rst()
        (record,) = observer.wait_ended(1, "client_gone")
    assert record["done"] - record["cleanup"] > 0.25e9


def test_a_client_that_leaves_a_stopped_stream_changes_nothing(observer: Observer) -> None:
    with connect(observer.server) as client:
        client.request(observer.path("/sse/slow_to_leave"))
        client.read_until(b"chunk 0")
        assert observer.stop(observer.records()[0]["stream"])
        observer.wait("in its cleanup", lambda records: records[0]["cleanup"] is not None)
        client.rst()
        (record,) = observer.wait_ended(1, "stopped")
    assert record["endings"][0]["reason"] == "user"


def test_a_client_that_leaves_after_the_end_changes_nothing(observer: Observer) -> None:
    with connect(observer.server) as client:
        client.request(observer.path("/sse/numbers"))
        client.read_to_end()
        client.rst()
        observer.wait_ended(1, "completed")


def test_a_client_that_leaves_after_the_error_event_changes_nothing(observer: Observer) -> None:
    with connect(observer.server) as client:
        client.request(observer.path("/sse/failing"))
        client.read_until(b"event: error")
        client.rst()
        observer.wait_ended(1, "failed")
