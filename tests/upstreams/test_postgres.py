"""A query whose client leaves is cancelled in the server, and its connection goes back to the pool, whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from tests.servers.client import Connection, connect
from tests.servers.observer import get_json
from tests.servers.servers import Server
from tests.upstreams.conftest import MEASURED
from tests.upstreams.leavers import eventually, leave, new_key, read_all, settled
from tests.upstreams.postgres import Postgres

POOL = 4
ROUNDS = 3
"""Clients that leave one after the other, where the time that it takes is measured."""
DRIVERS = ("psycopg", "asyncpg", "sqlalchemy")
SOURCES = ("psycopg", "psycopg-plain", "psycopg-stream", "sqlalchemy", "asyncpg", "asyncpg-fetch")

Record = Callable[[str, object], None]


@pytest.fixture(autouse=True)
def _pools_are_as_before(application: Server, postgres: Postgres) -> Iterator[None]:
    """Whatever a test does: the pools are whole afterwards, and PostgreSQL has no other connection."""
    yield
    check_pools(application, postgres)


def check_pools(application: Server, postgres: Postgres) -> None:
    def full(pools: dict[str, Any]) -> bool:
        sizes = [(pools[name]["pool_size"], pools[name]["pool_available"]) for name in DRIVERS]
        return sizes == [(POOL, POOL)] * len(DRIVERS)

    eventually("full", lambda: get_json(application, "/pools"), full)
    assert get_json(application, "/check") == {name: [42] * POOL for name in DRIVERS}
    for name in DRIVERS:
        eventually("idle", partial(postgres.states, name), lambda states: states == ["idle"] * POOL)
    # One connection of asyncpg's lives for as long as it takes to cancel a query.
    eventually("no more connections", postgres.connections, lambda found: found <= (len(DRIVERS) + 1) * POOL)


def driver(source: str) -> str:
    return source.partition("-")[0]


def ask(stack: ExitStack, server: Server, path: str, *keys: str) -> list[Connection]:
    """A client for each key that asks for `path` and does not read."""
    clients = [stack.enter_context(connect(server, receive_buffer=4096)) for _ in keys]
    for client, key in zip(clients, keys, strict=True):
        client.request(f"{path}?key={key}")
    return clients


def busy(postgres: Postgres, application: str) -> int:
    """How many of the application's connections are in a query or a transaction."""
    return sum(state != "idle" for state in postgres.states(application))


def wait_busy(postgres: Postgres, source: str, count: int) -> None:
    eventually(f"{count} busy", lambda: busy(postgres, driver(source)), lambda found: found == count)


def wait_asleep(postgres: Postgres, source: str, count: int) -> None:
    """Until so many queries are at work: PostgreSQL loses a request to cancel one that only begins."""
    eventually(f"{count} asleep", lambda: postgres.asleep(driver(source)), lambda found: found == count)


def wait_blocked(server: Server, keys: list[str]) -> None:
    """Until every source has produced something and none produces any more."""
    seen: list[list[int]] = []

    def stand_still(now: list[int]) -> bool:
        seen.append(now)
        time.sleep(0.1)
        return all(now) and len(seen) > 1 and seen[-1] == seen[-2]

    def rows() -> list[int]:
        return [get_json(server, f"/record/{key}").get("rows", 0) for key in keys]

    eventually("blocked by their clients", rows, stand_still)


def wait_free(postgres: Postgres, source: str, since: int) -> float:
    """Until no query of the application is left; how many ms after `since` that was."""
    eventually("free", lambda: busy(postgres, driver(source)), lambda found: not found)
    return (time.monotonic_ns() - since) / 1e6


def check_left(server: Server, prefix: str, count: int) -> None:
    """All `count` sources have finished their cleanup, and their streams had one ending: the client left."""
    found = settled(server, prefix)
    assert len(found) == count
    for record in found:
        assert record["done"] is not None
        assert (record["outcome"], record["overdue"], record["errors"]) == ("client_gone", False, [])


# -- one client ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", ["psycopg", "pages", "sqlalchemy", "asyncpg"])
def test_a_program_of_the_documentation_runs_and_answers(application: Server, program: str) -> None:
    first, *_, last = read_all(application, f"/programs/{program}/squares").splitlines()
    assert (first, last) == (b'{"n":1,"square":1}', b'{"n":1000,"square":1000000}')


@pytest.mark.parametrize("source", SOURCES)
def test_a_query_is_streamed_to_its_end(application: Server, source: str) -> None:
    key = new_key(source)
    body = read_all(application, f"/rows/{source}/short?key={key}")
    assert body.count(b"\n") == 1000
    assert settled(application, key)[0]["outcome"] == "completed"


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("source", SOURCES)
def test_a_silent_query_is_cancelled_when_its_client_leaves(
    application: Server, postgres: Postgres, record_property: Record, source: str, how: str
) -> None:
    prefix, gone = new_key(source), []
    for number in range(ROUNDS):
        with ExitStack() as stack:
            (client,) = ask(stack, application, f"/rows/{source}/silent", f"{prefix}{number}")
            wait_asleep(postgres, source, 1)
            gone.append(wait_free(postgres, source, client.leave(how)))
    check_left(application, prefix, len(gone))
    record_property(MEASURED, (f"{source}, silent, {how}", gone))


@pytest.mark.parametrize("source", ["psycopg", "psycopg-stream", "sqlalchemy", "asyncpg"])
def test_a_query_is_cancelled_while_its_rows_flow(
    application: Server, postgres: Postgres, record_property: Record, source: str
) -> None:
    prefix, gone = new_key(source), []
    for number in range(ROUNDS):
        with ExitStack() as stack:
            (client,) = ask(stack, application, f"/rows/{source}/flowing", f"{prefix}{number}")
            client.read_until(b"\n", 110)  # more than one of psycopg's batches
            gone.append(wait_free(postgres, source, client.rst()))
    check_left(application, prefix, len(gone))
    record_property(MEASURED, (f"{source}, flowing, rst", gone))


@pytest.mark.parametrize("source", ["psycopg", "psycopg-stream", "sqlalchemy", "asyncpg"])
def test_a_query_that_waits_for_its_client_ends_when_it_leaves(
    application: Server, postgres: Postgres, record_property: Record, source: str
) -> None:
    prefix, gone = new_key(source), []
    keys = [f"{prefix}{number}" for number in range(POOL)]
    with ExitStack() as stack:
        clients = ask(stack, application, f"/rows/{source}/big", *keys)
        wait_blocked(application, keys)
        assert busy(postgres, driver(source)) == POOL
        for left, client in enumerate(clients, 1):
            since = client.rst()
            wait_busy(postgres, source, POOL - left)
            gone.append((time.monotonic_ns() - since) / 1e6)
    check_left(application, prefix, POOL)
    record_property(MEASURED, (f"{source}, blocked by its client, rst", gone))


@pytest.mark.parametrize("source", DRIVERS)
def test_a_client_that_leaves_while_it_waits_for_a_connection_takes_none(
    application: Server, postgres: Postgres, source: str
) -> None:
    first, second = new_key(source), new_key(source)
    with ExitStack() as stack:
        holders = ask(stack, application, f"/rows/{source}/silent", *[f"{first}{n}" for n in range(POOL)])
        wait_asleep(postgres, source, POOL)
        waiting = ask(stack, application, f"/rows/{source}/silent", *[f"{second}{n}" for n in range(POOL)])
        eventually(
            "waiting",
            lambda: get_json(application, f"/summary?prefix={second}")["records"],
            lambda found: len(found) == POOL,
        )
        for client in waiting:
            client.rst()
        eventually(
            "gone",
            lambda: get_json(application, f"/summary?prefix={second}")["records"],
            lambda found: all(record["outcome"] == "client_gone" for record in found),
        )
        assert busy(postgres, driver(source)) == POOL
        for client in holders:
            client.rst()
    check_left(application, first, POOL)


# -- many clients --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["psycopg", "asyncpg"])
def test_after_500_leavers_the_pool_is_as_large_as_before(
    application: Server, postgres: Postgres, source: str, record_property: Record
) -> None:
    run_leavers(application, postgres, source, 500, record_property)


@pytest.mark.prove
@pytest.mark.timeout(600)
@pytest.mark.parametrize("source", SOURCES)
def test_after_2000_leavers_the_pool_is_as_large_as_before(
    application: Server, postgres: Postgres, source: str, record_property: Record
) -> None:
    run_leavers(application, postgres, source, 2000, record_property)


def run_leavers(
    application: Server, postgres: Postgres, source: str, count: int, record_property: Record
) -> None:
    before = postgres.backends(driver(source))
    tasks = get_json(application, "/process")
    prefix, queries = new_key(source), ("silent", "flowing", "big")
    paths = [f"/rows/{source}/{queries[n % 3]}?key={prefix}{n}" for n in range(count)]
    leave(application, paths, within=0.05, silent=("silent", "plain", "fetch"))
    found = settled(application, prefix)
    assert {record["outcome"] for record in found} == {"client_gone"}
    assert all(record["done"] is not None for record in found)
    # PostgreSQL loses a request to cancel that comes between a query's messages: asyncpg needs its timeout.
    assert sum(record["overdue"] or bool(record["errors"]) for record in found) <= count // 100
    check_pools(application, postgres)
    assert get_json(application, "/process") == tasks
    replaced = len(before - postgres.backends(driver(source)))
    what = f"{source}, {count} leavers: cleanup ({replaced} connections replaced)"
    record_property(MEASURED, (what, [1000 * record["cleanup"] for record in found]))


# -- a session held by a dependency --------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["silent", "flowing", "big"])
def test_a_query_over_a_dependencys_session_is_cancelled_too(
    application: Server, postgres: Postgres, record_property: Record, query: str
) -> None:
    prefix, gone = new_key("held"), []
    for number in range(3):
        with ExitStack() as stack:
            (client,) = ask(stack, application, f"/held/{query}", f"{prefix}{number}")
            if query == "silent":
                wait_asleep(postgres, "psycopg", 1)
            else:
                client.read_until(b"\n")
            gone.append(wait_free(postgres, "psycopg", client.rst()))
    check_left(application, prefix, len(gone))
    record_property(MEASURED, (f"psycopg in a dependency, {query}, rst", gone))


@pytest.mark.parametrize(("where", "free"), [("held", 0), ("inside", POOL)])
def test_a_session_held_by_a_dependency_is_held_for_the_whole_stream(
    application: Server, where: str, free: int
) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(application)) for _ in range(POOL)]
        for client in clients:
            client.request(f"/answer/{where}")
            client.read_until(b"\n")
        assert get_json(application, "/pools")["psycopg"].get("pool_available", 0) == free


def test_pages_hold_no_connection_while_the_client_does_not_read(application: Server) -> None:
    prefix = new_key("pages")
    keys = [f"{prefix}{number}" for number in range(2 * POOL)]
    with ExitStack() as stack:
        ask(stack, application, "/pages", *keys)
        wait_blocked(application, keys)
        assert get_json(application, "/pools")["pages"]["pool_available"] == POOL
    check_left(application, prefix, 2 * POOL)


# -- a database that does not answer -------------------------------------------------------------------------


@pytest.mark.prove
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("source", "overdue"),
    [
        ("psycopg", False),  # after 10 s it drops the connection
        ("asyncpg", True),  # waits for ever, until it is cancelled again at the cleanup's deadline
    ],
)
def test_a_database_that_does_not_answer_costs_no_more_than_the_cleanups_deadline(
    application: Server,
    postgres: Postgres,
    record_property: Record,
    *,
    source: str,
    overdue: bool,
) -> None:
    key = new_key(source)
    with ExitStack() as stack:
        (client,) = ask(stack, application, f"/rows/{source}/silent", key)
        wait_asleep(postgres, source, 1)
        with postgres.frozen():
            client.rst()
            time.sleep(17)
            (record,) = get_json(application, f"/summary?prefix={key}")["records"]
            assert (record["outcome"], record["overdue"]) == ("client_gone", overdue)
            record_property(MEASURED, (f"{source}, frozen server: cleanup", [1000 * record["cleanup"]]))
    # The pool is made whole again: `_pools_are_as_before` waits for that.
