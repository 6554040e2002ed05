"""curl, the cheapest judge of how a stream ended."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest

from tests.clients.families import EVENT_STREAMS, NDJSON, Family
from tests.clients.telling import SECRET, asked, assert_cancelled
from tests.servers.observer import Observer
from tests.wire.whatwg import decode

pytestmark = pytest.mark.usefixtures("curl")
FAMILIES = [*EVENT_STREAMS, NDJSON]


@pytest.fixture(params=FAMILIES, ids=lambda family: family.dialect)
def family(request: pytest.FixtureRequest) -> Family:
    found: Family = request.param
    return found


def command(observer: Observer, family: Family, story: str) -> list[str]:
    headers = [part for name, value in asked(observer, story).items() for part in ("-H", f"{name}: {value}")]
    return ["curl", "-sSN", "--max-time", "20", *headers, observer.server.url + family.path]


def documents(family: Family, body: bytes) -> list[str]:
    if family is NDJSON:
        return body.decode().splitlines()
    return [message.data for message in decode(body)]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_curl_cancels_the_source(observer: Observer, how: signal.Signals) -> None:
    asking = command(observer, FAMILIES[0], "endless")
    with subprocess.Popen(asking, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(how)
    assert_cancelled(observer)


def test_a_curl_out_of_time_cancels_the_source(observer: Observer) -> None:
    asking = [*command(observer, FAMILIES[0], "endless"), "--max-time", "0.3"]
    assert subprocess.run(asking, capture_output=True, check=False).returncode == 28
    assert_cancelled(observer)


@pytest.mark.parametrize(
    ("story", "word"),
    [
        ("fails", "The stream failed."),
        ("fails-bytes", "The stream failed."),
        ("tells", "No words are left."),
    ],
)
def test_the_error_is_the_last_document_of_a_body_that_is_whole(
    observer: Observer, family: Family, story: str, word: str
) -> None:
    done = subprocess.run(command(observer, family, story), capture_output=True, check=True)
    *before, last = documents(family, done.stdout)
    assert len(before) == len(family.opening) + 2
    assert word in json.dumps(json.loads(last))
    assert SECRET not in done.stdout.decode()


@pytest.mark.parametrize("family", EVENT_STREAMS, ids=lambda family: family.dialect, indirect=True)
def test_a_body_that_cannot_tell_of_its_failure_is_cut(observer: Observer, family: Family) -> None:
    done = subprocess.run(command(observer, family, "fails-torn"), capture_output=True, check=False)
    assert done.returncode == 18
    assert len(documents(family, done.stdout)) == len(family.opening) + 2


def test_a_story_is_whole(observer: Observer, family: Family) -> None:
    done = subprocess.run(command(observer, family, "whole"), capture_output=True, check=True)
    assert len(documents(family, done.stdout)) == len(family.opening) + 3 + len(family.closing)
