"""A PostgreSQL server of the tests' own: a new cluster in a directory that goes away with it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tests.servers.servers import HOST, free_port

READY_WITHIN = 30.0
"""Seconds until it accepts connections; one is usual."""
STOP_WITHIN = 5.0
OPTIONS = (
    "fsync=off",
    "shared_buffers=16MB",
    "max_connections=60",
    "autovacuum=off",
    # As documented: so that a query ends whose connection is closed because a request to cancel it was lost.
    "client_connection_check_interval=500ms",
)


def binaries() -> Path | None:
    """Where `initdb` and `postgres` are: on the PATH, or where Debian puts them."""
    found = shutil.which("initdb")
    candidates = [Path(found).parent] if found else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((each for each in candidates if (each / "postgres").exists()), None)


class Postgres:
    """A running server, and what a test asks of it over a connection of its own."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port
        self._connection: psycopg.Connection[Any] | None = None

    def url(self, application: str) -> str:
        """The address for connections that are counted as `application`'s."""
        return f"postgresql://endwell@{HOST}:{self.port}/postgres?application_name={application}"

    def states(self, application: str) -> list[str]:
        """What each of the application's connections does: "active", "idle", "idle in transaction"…"""
        found = self._ask("SELECT state FROM pg_stat_activity WHERE application_name = {}", application)
        return [state for (state,) in found]

    def asleep(self, application: str) -> int:
        """How many of the application's queries are in `pg_sleep` just now."""
        query = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND application_name = {}"
        return len(self._ask(query, application))

    def backends(self, application: str) -> set[int]:
        """The process ids behind the application's connections."""
        return {
            pid
            for (pid,) in self._ask(
                "SELECT pid FROM pg_stat_activity WHERE application_name = {}", application
            )
        }

    def connections(self) -> int:
        """All of the clients' connections, whosesoever, but for this one."""
        ((count,),) = self._ask(
            "SELECT count(*) - 1 FROM pg_stat_activity WHERE backend_type = {}", "client backend"
        )
        return int(count)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Within it the server does nothing at all, as if its machine had no time for it."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        processes = [self.process.pid, *map(int, children)]
        try:
            for pid in processes:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in processes:
                os.kill(pid, signal.SIGCONT)

    def wait_ready(self) -> None:
        """Until it answers.

        Raises:
            RuntimeError: It does not.
        """
        deadline = time.monotonic() + READY_WITHIN
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                self._ask("SELECT {}", "there")
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"PostgreSQL does not answer on port {self.port}")

    def stop(self) -> None:
        """Stop it, whatever its clients do."""
        if self._connection is not None:
            self._connection.close()
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait()

    def _ask(self, query: str, value: str) -> list[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = psycopg.connect(self.url("observer"), autocommit=True)
        return self._connection.execute(sql.SQL(query).format(value)).fetchall()


@contextmanager
def running(directory: Path) -> Iterator[Postgres]:
    """A new cluster, running on a free port; stopped and removed at the end."""
    home = Path(tempfile.mkdtemp(prefix="endwell-postgres-", dir="/tmp"))
    try:
        server = _start(home, directory / "postgres.log")
        try:
            server.wait_ready()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(home)


def _start(home: Path, log: Path) -> Postgres:
    found = binaries()
    assert found is not None
    run: dict[str, Any] = {"cwd": home, "stdin": subprocess.DEVNULL}
    if os.geteuid() == 0:  # it refuses to run as root
        owner = pwd.getpwnam("postgres")
        os.chown(home, owner.pw_uid, owner.pw_gid)
        run.update(user=owner.pw_uid, group=owner.pw_gid, extra_groups=[])
    data, port = str(home / "data"), free_port()
    settings = ["-U", "endwell", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
    initdb = [str(found / "initdb"), "-D", data, *settings]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, **run)
    options = [part for option in OPTIONS for part in ("-c", option)]
    where = ["-D", data, "-h", HOST, "-p", str(port), "-k", str(home)]
    command = [str(found / "postgres"), *where, *options]
    with log.open("wb") as output:
        process: subprocess.Popen[bytes] = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, **run
        )
    return Postgres(process, port)
