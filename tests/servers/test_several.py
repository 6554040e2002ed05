"""Several applications, loops, threads and processes: each drains for itself, and nobody else notices."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.servers.client import Connection, connect
from tests.servers.observer import DEADLINE, get_json
from tests.servers.servers import CONFIGS, Config, Server, free_port, running

EXIT_WITHIN = 10.0
"""Seconds from the signal to the end of the last process: it only bounds a failing test."""
READERS = 3
"""Readers of each kind of source."""
KINDS = ("idle", "ticking", "rows")
FORGOTTEN = ("Task was destroyed", "never retrieved", "never awaited", "overdue")
"""What nobody may read, in whatever way a process ends."""

APP = "tests.servers.several_app:app"
UVICORN = ("uvicorn", "{app}", "--host", "{host}", "--port", "{port}", "--log-level", "warning")
GUNICORN = ("gunicorn", "{app}", "--bind", "{host}:{port}", "--log-level", "warning", "--no-control-socket")
GRANIAN, HYPERCORN = (
    next(config.args for config in CONFIGS if config.package == package)
    for package in ("granian", "hypercorn")
)

Start: TypeAlias = Callable[..., Server]


def program(name: str, *more: str) -> Config:
    """One of the programs beside this file."""
    args = ("tests.servers.several_programs", name, "{port}", *more)
    return Config(name="-".join((name, *more)), args=args)


def uvicorn(*more: str) -> Config:
    """uvicorn with its defaults, but for `more`."""
    return Config(name="-".join(("uvicorn", *more)), args=(*UVICORN, *more))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a configuration; when the test is over, its processes must have written no complaint.

    `traces` permits tracebacks: where the server has reason to write some.
    """
    started: list[tuple[Server, tuple[str, ...]]] = []
    with contextlib.ExitStack() as stack:

        def begin(wanted: Config, app: str = APP, *, traces: bool = False) -> Server:
            _need(wanted)
            server = stack.enter_context(running(wanted, app, tmp_path / f"{len(started)}.log"))
            started.append((server, FORGOTTEN if traces else (*FORGOTTEN, "Traceback")))
            return server

        yield begin
    for server, complaints in started:
        for complaint in complaints:
            assert complaint not in server.output(), server.output()


def _need(wanted: Config) -> None:
    worker = [argument.partition(".")[0] for argument in wanted.args if argument.endswith("Worker")]
    missing = [package for package in (wanted.package, *worker) if find_spec(package) is None]
    if missing:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"not installed: {missing}")


def wait_listening(server: Server) -> None:
    """Until it accepts, whoever started it."""
    deadline = time.monotonic() + DEADLINE
    while True:
        with contextlib.suppress(ConnectionRefusedError), connect(server):
            return
        assert time.monotonic() < deadline, server.output()
        time.sleep(0.02)


def terminate(server: Server) -> None:
    """SIGTERM to the process that was started: the supervisor, where there is one."""
    server.terminate()


def ctrl_c(server: Server) -> None:
    """SIGINT to all processes of the group, as a terminal does."""
    os.killpg(server.process.pid, signal.SIGINT)


def post(server: Server, path: str) -> Any:
    """The JSON that a POST is answered with."""
    return get_json(server, path, method="POST")


def wait_exit(server: Server, *codes: int) -> None:
    """Until the process is over, with all it started."""
    server.process.wait(EXIT_WITHIN)
    assert server.process.returncode in (codes or (0, -signal.SIGTERM, -signal.SIGINT))
    deadline = time.monotonic() + DEADLINE  # multiprocessing has a process that ends after all others
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.killpg(server.process.pid, 0)
            assert time.monotonic() < deadline
            time.sleep(0.02)


# -- readers -------------------------------------------------------------------------------------------------


class Readers:
    """Open streams, each of which has got its first chunk; `pids` counts them by the process that serves."""

    def __init__(self, stack: contextlib.ExitStack, server: Server, prefix: str = "") -> None:
        self._stack, self._server, self._prefix = stack, server, prefix
        self.clients: list[Connection] = []
        self.pids: Counter[str] = Counter()

    def open(self, *kinds: str) -> None:
        """One more reader of each of `kinds`."""
        for kind in kinds:
            client = self._stack.enter_context(connect(self._server))
            client.request(f"{self._prefix}/{kind}")
            body = client.read_until(b"}")
            hello = json.loads(body[body.index(b"{") : body.index(b"}") + 1])
            self.pids[str(hello["pid"])] += 1
            self.clients.append(client)

    def open_on(self, processes: int) -> None:
        """Readers until each of so many processes has some: the kernel chooses who accepts."""
        deadline = time.monotonic() + 2 * DEADLINE
        while len(self.pids) < processes:
            assert time.monotonic() < deadline, self.pids
            self.open(*KINDS)

    def without(self, pid: str) -> Readers:
        """Those that another process serves."""
        others = Readers(self._stack, self._server, self._prefix)
        others.clients = [client for client in self.clients if pid not in client.body.decode()]
        others.pids = Counter({each: count for each, count in self.pids.items() if each != pid})
        return others

    def go_on(self) -> None:
        """See that those that get something still do."""
        ticking = [client for client in self.clients if b"tick" in client.body]
        assert ticking
        for client in ticking:
            client.read_until(b"tick", client.body.count(b"tick") + 3)
        assert not any(client.complete for client in self.clients)

    def bid_farewell(self) -> None:
        """See that each got a farewell with a time to come back, and a body that ended as it should."""
        for client in self.clients:
            body = client.read_to_end()
            assert client.complete, body[-300:]
            assert b'"drained"' in body
            assert b"retry: " in body


@contextlib.contextmanager
def readers(server: Server, *kinds: str, prefix: str = "") -> Iterator[Readers]:
    """`READERS` of each of `kinds`; of all kinds by default."""
    with contextlib.ExitStack() as stack:
        opened = Readers(stack, server, prefix)
        opened.open(*(kinds or KINDS) * READERS)
        yield opened


def read_short(server: Server, prefix: str = "") -> None:
    """A stream that begins now, and ends by itself, is served as ever."""
    with connect(server) as client:
        client.request(f"{prefix}/short")
        assert b"tock" in client.read_to_end()
        assert client.complete


# -- what the processes said ---------------------------------------------------------------------------------


def said(server: Server, *words: object) -> list[list[str]]:
    """The lines that begin with `words`, without them."""
    prefix = ["several:", *map(str, words)]
    lines = [line.split() for line in server.output().splitlines()]
    return [line[len(prefix) :] for line in lines if line[: len(prefix)] == prefix]


def wait_said(server: Server, count: int, *words: object) -> None:
    """Until there are `count` lines that begin with `words`."""
    deadline = time.monotonic() + DEADLINE
    while len(said(server, *words)) < count:
        assert time.monotonic() < deadline, server.output()
        time.sleep(0.02)
    assert len(said(server, *words)) == count


def see_that_it_ended(
    server: Server, *streams: Readers, outcomes: tuple[str, ...] = ("drained",), completed: int = 0
) -> None:
    """Every source finished its cleanup, and every ending was told, before its process's shutdown code ran.

    Args:
        server: whose processes are over.
        streams: who read from it.
        outcomes: how they may have ended.
        completed: how many more ended by themselves, and had nothing to clean up.
    """
    expected = sum((each.pids for each in streams), Counter[str]())
    assert Counter(pid for _, pid in said(server, "cleaned")) == expected
    assert Counter(pid for _, pid, told in said(server, "ended") if told in outcomes) == expected
    assert len(said(server, "ended")) == expected.total() + completed
    _see_the_order(said(server))


def _see_the_order(lines: list[list[str]]) -> None:
    over: set[tuple[str, str]] = set()
    for word, name, pid, *_ in (line for line in lines if len(line) > 2):
        if word == "shutdown":
            over.add((name, pid))
        elif word == "startup":
            over.discard((name, pid))
        else:
            assert (name, pid) not in over, lines


# -- two servers in one process ------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["threads", "one_loop"])
def test_of_two_servers_in_one_process_one_stops_and_the_other_does_not_notice(
    start: Start, how: str
) -> None:
    other = free_port()
    first = start(program(how, str(other)))
    second = Server("second", other, first.process, first.log, first.config)
    wait_listening(second)
    with readers(first) as leaving, readers(second) as staying:
        assert post(first, "/do/stop%20first") == "done"
        leaving.bid_farewell()
        wait_said(first, 1, "shutdown", "first")
        assert not said(first, "ended", "second")
        staying.go_on()
        read_short(second)
        first.terminate()
        staying.bid_farewell()
        wait_exit(first, 0)
    see_that_it_ended(first, leaving, staying, completed=1)
    assert said(first, "over") == [["True"]]


@pytest.mark.prove
def test_two_servers_of_one_application_end_together(start: Start) -> None:
    other = free_port()
    first = start(program("shared", str(other)))
    second = Server("second", other, first.process, first.log, first.config)
    wait_listening(second)
    with readers(first) as one, readers(second) as another:
        first.terminate()
        one.bid_farewell()
        another.bid_farewell()
        wait_exit(first, 0)
    see_that_it_ended(first, one, another)


@pytest.mark.parametrize(
    "how",
    [
        program("in_turn", "auto"),
        program("in_turn", "off"),
        pytest.param(program("in_turn_in_threads"), marks=pytest.mark.prove),
    ],
    ids=lambda how: how.name,
)
def test_servers_one_after_the_other_know_nothing_of_each_other(start: Start, how: Config) -> None:
    server = start(how)
    turns = []
    with contextlib.ExitStack() as stack:
        for turn in range(1, 4):
            wait_listening(server)
            turns.append(stack.enter_context(readers(server)))
            read_short(server)
            turns[-1].go_on()
            server.terminate()
            turns[-1].bid_farewell()
            wait_said(server, turn, "over")
        wait_exit(server, 0)
    see_that_it_ended(server, *turns, completed=3)
    assert said(server, "over") == [["True"]] * 3
    assert len(said(server, "passed", "on")) == 3


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_loop_that_closes_with_live_streams_forgets_none(start: Start, loop: str) -> None:
    server = start(program("cut_short", loop), traces=True)  # uvicorn logs that its tasks were cancelled
    with readers(server) as cut:
        assert post(server, "/do/return") == "done"
        for client in cut.clients:
            client.read_to_end()
        wait_exit(server, 0)
    see_that_it_ended(server, cut, outcomes=("stopped", "drained"))
    assert said(server, "over") == [[]]


# -- two applications in one server --------------------------------------------------------------------------


def test_of_two_applications_in_one_server_each_drains_for_itself(start: Start) -> None:
    server = start(uvicorn(), "tests.servers.several_app:mounted")
    with readers(server, prefix="/left") as left, readers(server, prefix="/right") as right:
        assert post(server, "/left/drain") == "drained"
        left.bid_farewell()
        assert get_json(server, "/left/active") == []
        right.go_on()
        read_short(server, "/right")
        wait_said(server, 1, "ended", "right")
        server.terminate()
        right.bid_farewell()
        wait_exit(server)
    see_that_it_ended(server, left, right, completed=1)


def test_a_sub_application_shares_the_streams_of_the_one_above(start: Start) -> None:
    server = start(uvicorn(), "tests.servers.several_app:below")
    with readers(server) as above, readers(server, *KINDS, "response", prefix="/below") as below:
        assert len(get_json(server, "/active")) == len(above.clients) + len(below.clients)
        server.terminate()
        above.bid_farewell()
        below.bid_farewell()
        wait_exit(server)
    see_that_it_ended(server, above, below)


# -- several processes ---------------------------------------------------------------------------------------


def test_reload_ends_streams_well_and_the_new_process_serves(start: Start, tmp_path: Path) -> None:
    touched = tmp_path / "watched" / "some.py"
    touched.parent.mkdir()
    touched.touch()
    server = start(uvicorn("--reload", "--reload-dir", str(touched.parent)))
    with readers(server) as old:
        os.utime(touched, (time.time() + 1,) * 2)
        old.bid_farewell()
        wait_said(server, 2, "startup")
        with readers(server) as new:
            assert not new.pids.keys() & old.pids.keys()
            new.go_on()
            ctrl_c(server)
            new.bid_farewell()
            wait_exit(server)
    see_that_it_ended(server, old, new)


def gunicorn(*options: str) -> Config:
    """gunicorn with four workers of the kind that `options` begin with."""
    return Config(name="-".join(("gunicorn", *options)), args=(*GUNICORN, "-w", "4", "-k", *options))


UVICORN_4 = uvicorn("--workers", "4")
SEVERAL = (
    # the server, its processes, and what makes the case too much for every day
    (UVICORN_4, 4, ()),
    (gunicorn("uvicorn_worker.UvicornWorker"), 4, (ctrl_c,)),
    (gunicorn("uvicorn_worker.UvicornWorker", "--preload"), 4, (terminate, ctrl_c)),
    (gunicorn("asgi"), 4, (terminate,)),
    (Config(name="granian", args=(*GRANIAN, "--workers", "2")), 2, (ctrl_c,)),
    (Config(name="hypercorn", args=(*HYPERCORN, "--workers", "2")), 2, (terminate, ctrl_c)),
)
ENDS = [
    pytest.param(config, processes, end, marks=[pytest.mark.prove] if end in heavy else [])
    for config, processes, heavy in SEVERAL
    for end in (terminate, ctrl_c)
]


@pytest.mark.parametrize(
    ("config", "processes", "end"),
    ENDS,
    ids=lambda value: getattr(value, "name", getattr(value, "__name__", "")),
)
def test_every_worker_drains(
    start: Start, config: Config, processes: int, end: Callable[[Server], None]
) -> None:
    server = start(config)
    with contextlib.ExitStack() as stack:
        clients = Readers(stack, server)
        clients.open_on(processes)
        end(server)
        clients.bid_farewell()
        wait_exit(server)
    see_that_it_ended(server, clients)


@pytest.mark.prove
@pytest.mark.parametrize(
    "config", [UVICORN_4, gunicorn("uvicorn_worker.UvicornWorker")], ids=lambda it: it.name
)
def test_workers_that_are_replaced_end_their_streams_well(start: Start, config: Config) -> None:
    server = start(config)
    with contextlib.ExitStack() as stack:
        old = Readers(stack, server)
        old.open_on(4)
        server.process.send_signal(signal.SIGHUP)
        old.bid_farewell()
        wait_said(server, 8, "startup")
        wait_said(server, 4, "shutdown")
        with readers(server) as new:
            assert not new.pids.keys() & old.pids.keys()
            new.go_on()
            server.terminate()
            new.bid_farewell()
            wait_exit(server)
        see_that_it_ended(server, old, new)


@pytest.mark.prove
def test_when_one_worker_dies_the_others_go_on(start: Start) -> None:
    server = start(UVICORN_4)
    with contextlib.ExitStack() as stack:
        clients = Readers(stack, server)
        clients.open_on(4)
        dead = min(clients.pids)
        os.kill(int(dead), signal.SIGKILL)
        wait_said(server, 5, "startup")
        staying = clients.without(dead)
        staying.go_on()
        server.terminate()
        staying.bid_farewell()
        wait_exit(server)
    see_that_it_ended(server, staying)


def test_a_server_that_stops_by_itself_ends_its_streams_well(start: Start) -> None:
    server = start(uvicorn("--limit-max-requests", "1"))
    with readers(server) as clients:
        clients.go_on()
        read_short(server)  # the one, and there is no signal
        clients.bid_farewell()
        wait_exit(server)
    see_that_it_ended(server, clients, completed=1)


# -- no lifespan ---------------------------------------------------------------------------------------------


def test_without_lifespan_streams_end_well_and_it_is_said_once(start: Start) -> None:
    server = start(uvicorn("--lifespan", "off"))
    with readers(server) as clients:
        clients.go_on()
        server.terminate()
        clients.bid_farewell()
        wait_exit(server)
    see_that_it_ended(server, clients)
    assert server.output().count("does not run streams.lifespan") == 1
