"""A stream that reads from another server: when its client leaves, that connection is closed."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from typing import Any

import pytest

from tests.servers.client import connect
from tests.servers.observer import get_json
from tests.servers.servers import Server
from tests.upstreams.conftest import MEASURED
from tests.upstreams.leavers import eventually, leave, new_key, read_all, settled
from tests.upstreams.test_postgres import Record

KINDS = ("steady", "silent", "head")
CLIENTS = ("httpx", "httpx2", "own")


def established(server: Server) -> int:
    """How many connections to `server` the kernel knows."""
    command = ["ss", "--no-header", "--tcp", "--numeric", "state", "established", f"dport = :{server.port}"]
    return len(subprocess.run(command, check=True, capture_output=True).stdout.splitlines())


def check_no_connection_is_left(application: Server, upstream: Server, client: str) -> None:
    pools = get_json(application, "/pools")
    assert pools.get(client, []) == []
    eventually("closed", lambda: established(upstream), lambda found: found == 0)


def opened(upstream: Server, prefix: str) -> list[dict[str, Any]]:
    found = get_json(upstream, "/connections")
    return [record for key, record in found.items() if key.startswith(prefix)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("client", CLIENTS)
def test_the_upstream_sees_its_reader_leave_with_the_client(
    application: Server, upstream: Server, record_property: Record, *, client: str, kind: str, how: str
) -> None:
    prefix, delays = new_key(kind), []
    for number in range(3):
        key = f"{prefix}{number}"
        with ExitStack() as stack:
            reader = stack.enter_context(connect(application))
            reader.request(f"/relay/{client}/{kind}?key={key}")
            eventually("opened", lambda: opened(upstream, key), bool)  # noqa: B023
            left = reader.leave(how)
            eventually("closed", lambda: opened(upstream, key), lambda found: bool(found[0]["closed"]))  # noqa: B023
        delays.append((opened(upstream, key)[0]["closed"] - left) / 1e6)
    assert [record["outcome"] for record in settled(application, prefix)] == ["client_gone"] * 3
    check_no_connection_is_left(application, upstream, client)
    record_property(MEASURED, (f"{client}, {kind}, {how}: the upstream was told", delays))


@pytest.mark.parametrize("client", ["httpx", "httpx2"])
def test_a_shared_client_keeps_the_connection_of_an_upstream_that_ended(
    application: Server, upstream: Server, client: str
) -> None:
    for _ in range(2):
        assert read_all(application, f"/relay/{client}/short?key={new_key('short')}") == b"x" * 300
        assert len(get_json(application, "/pools")[client]) == 1
    eventually("forgotten", lambda: _reconnect(application, upstream, client), lambda found: not found)


def _reconnect(application: Server, upstream: Server, client: str) -> int:
    """Use the kept connection for something that is left, so that the next test finds none."""
    key = new_key("last")
    with connect(application) as reader:
        reader.request(f"/relay/{client}/steady?key={key}")
        reader.read_head()
    settled(application, key)
    return established(upstream)


# httpx's own pool forgets connections whose request is cancelled right after connecting, and keeps them open
# (encode/httpcore#1093): about 1 in 100 of these. httpx2 has mended it; a client for each stream closes them.
@pytest.mark.parametrize("client", ["httpx2", "own"])
def test_after_500_leavers_no_connection_to_the_upstream_is_left(
    application: Server, upstream: Server, client: str
) -> None:
    tasks, prefix = get_json(application, "/process"), new_key("many")
    paths = [f"/relay/{client}/{KINDS[number % 3]}?key={prefix}{number}" for number in range(500)]
    leave(application, paths, within=0.05, silent=())
    found = settled(application, prefix)
    assert {record["outcome"] for record in found} == {"client_gone"}
    assert all(not record["errors"] and not record["overdue"] for record in found)
    asked = eventually(
        "all closed",
        lambda: opened(upstream, prefix),
        lambda found: all(record["closed"] for record in found),
    )
    assert len(asked) > 50
    check_no_connection_is_left(application, upstream, client)
    assert get_json(application, "/process") == tasks
