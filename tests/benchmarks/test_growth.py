"""The growth of servers, with so few streams that it proves nothing but that it is measured."""

from __future__ import annotations

import socket
from array import array
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from benchmarks.growth import app, chart, clients, coming, crowd, leaving, report, steps
from benchmarks.harness.process import BenchmarkError


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less of everything."""
    for name, value in {"WARM": 2, "SETTLE": 0.1, "SEND": 0.5, "SECONDS": 9.0}.items():
        monkeypatch.setattr(crowd, name, value)
    for name, value in {"WHILE": 1.5, "PAUSE": 1.0}.items():
        monkeypatch.setattr(leaving, name, value)
    for name, value in {"WARM": 2, "SETTLE": 0.1, "RATE": 200, "SECONDS": 1.0, "ENOUGH": 0.1}.items():
        monkeypatch.setattr(steps, name, value)


@pytest.mark.usefixtures("_hasty")
def test_a_small_crowd_is_accounted_for() -> None:
    result = crowd.measure(60)
    assert {name: account.clients for name, account in result.accounts.items()} == {
        **{way.name: 2 for way in leaving.LEAVES},
        leaving.PAUSES.name: 1,
        leaving.STAYS.name: 47,
    }
    table = report.table(result, result)
    assert "| 2 | are stopped by a button |" in table
    assert "`slow_client` 2 |" in table


@pytest.mark.usefixtures("_hasty")
def test_a_step_gives_all_its_figures() -> None:
    done = [*steps.measure(["endwell", "raw"], [20])]
    assert [(step.peer, step.streams) for step in done] == [("endwell", 20), ("raw", 20)]
    assert all(step.event > 0 and step.opening > 0 and step.objects > 0 for step in done)
    assert steps.table(done).count("\n") == 3
    picture = ET.fromstring(chart.draw([*done, *(replace(step, streams=200) for step in done)]))
    assert len(picture.findall(".//{*}circle")) == 2 + 4 * len(chart.PANELS)


@pytest.mark.usefixtures("_hasty")
def test_who_comes_is_measured_with_each_setting_of_the_collector() -> None:
    parts = [*coming.measure(20)]
    assert [(part.collector, part.streams) for part in parts] == [
        (collector, 4 * number) for collector in app.COLLECTORS for number in range(1, 1 + coming.PARTS)
    ]
    assert "| `gc.freeze()` after start-up | 20 |" in coming.table(parts)


def event(number: int, index: int) -> bytes:
    return b'data: {"id":"%d/%d/123","token":"a"}\n\n' % (number, index)


@pytest.mark.parametrize(
    ("events", "is_right"),
    [
        ([event(7, 0), event(7, 1)], True),
        ([event(7, 0), event(7, 2)], False),  # one is lost
        ([event(7, 0), event(7, 0)], False),  # one came twice
        ([event(7, 0), event(8, 1)], False),  # one is another's
    ],
)
def test_a_reader_sees_whether_every_event_is_its_own_and_the_next(
    events: list[bytes], *, is_right: bool
) -> None:
    delays: array[int] = array("q")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        reader = clients.Member(listening.getsockname()[1], 7, "", delays)
        with listening.accept()[0] as server, reader.socket:
            reader.socket.settimeout(1)
            sent = b"\r\nstream-id: abc\r\n\r\n" + b"".join(events)
            server.sendall(sent[:60])  # in the middle of the first
            reader.take()
            server.sendall(sent[60:])
            if not is_right:
                with pytest.raises(BenchmarkError, match="stream 7"):
                    reader.take()
                return
            reader.take()
    assert (reader.events, len(delays), reader.stream, reader.is_over) == (2, 2, "abc", False)
