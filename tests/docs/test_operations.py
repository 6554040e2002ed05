"""What the pages on stopping and deploying say: their programs, and their numbers."""

from __future__ import annotations

import asyncio
import re
import runpy
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from endwell import Deployment, Policy
from tests.ext.visits import Client, Endings, fetch, running, turns

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "how-to" / "kubernetes.md").read_text(encoding="utf-8")
MANIFEST = (DOCS / "snippets" / "kubernetes.yaml").read_text(encoding="utf-8")


def program(name: str) -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "snippets" / name))


# -- deploying -----------------------------------------------------------------------------------------------


@pytest.fixture
def pod() -> Any:
    """The pod of the manifest, parsed."""
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load(MANIFEST)["spec"]["template"]["spec"]


def test_the_manifest_and_the_program_have_the_same_numbers(pod: Any) -> None:
    deploying = program("deploying.py")
    (container,) = pod["containers"]
    assert deploying["deployment"] == Deployment(
        grace_period=pod["terminationGracePeriodSeconds"],
        pre_stop=container["lifecycle"]["preStop"]["sleep"]["seconds"],
    )
    assert deploying["deployment"].problems(deploying["policy"]) == []
    deploying["test_the_numbers_fit"]()


async def test_the_manifests_probe_asks_for_what_the_program_has(pod: Any) -> None:
    app = program("deploying.py")["app"]
    (container,) = pod["containers"]
    probe = container["readinessProbe"]["httpGet"]
    assert (await fetch(app, probe["path"])).status == 200
    assert probe["port"] == container["ports"][0]["containerPort"]
    assert container["command"][-2:] == ["--port", str(probe["port"])]


def test_every_numbered_line_of_the_manifest_is_explained() -> None:
    numbers = re.findall(r"# (\d)$", MANIFEST, re.MULTILINE)
    explained = re.findall(r"^(\d)\. ", PAGE, re.MULTILINE)
    assert numbers == explained == [str(number) for number in range(1, 6)]


def platforms() -> Iterator[tuple[str, float, str]]:
    """The table's platforms: when each kills, and a policy for that."""
    _, _, section = PAGE.partition("## Other platforms")
    for row in re.findall(r"^\| (.+) \|$", section.partition("\n## ")[0], re.MULTILINE)[2:]:
        name, _, killed, _, policy = (cell.strip() for cell in row.split(" | "))
        yield name, float(killed.split()[0]), policy.strip("`")


@pytest.mark.parametrize(("platform", "killed", "policy"), list(platforms()))
def test_a_policy_of_the_page_fits_its_platform(platform: str, killed: float, policy: str) -> None:
    deployment = Deployment(grace_period=killed, endpoint_lag=0)
    assert deployment.problems(eval(policy, {"Policy": Policy})) == []


def test_there_is_a_policy_for_each_platform() -> None:
    assert len(list(platforms())) == 7


async def test_the_news_end_at_a_place_of_their_own_choosing() -> None:
    deploying = program("deploying.py")
    endings = Endings(deploying["streams"])
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        async with running(deploying["app"]) as state:
            client = Client(deploying["app"], "/news", state=state)
            await client.got(b"data: first half of 2\n\n")
            signal.raise_signal(signal.SIGTERM)
            await turns()
            began = asyncio.get_running_loop().time()
            await client.finished()
            assert asyncio.get_running_loop().time() - began <= 1
    finally:
        signal.signal(signal.SIGTERM, before)
    assert client.data[-2] == "second half of 2"
    assert '"code":"drained"' in client.data[-1]
    assert (await endings.only()).outcome == "drained"


# -- stopping ------------------------------------------------------------------------------------------------


async def test_the_stop_button_stops_the_streams_of_its_own_user() -> None:
    stopping = program("stopping.py")
    app, endings = stopping["app"], Endings(stopping["streams"])
    page = await fetch(app, "/")
    cookie = page.headers["set-cookie"].partition(";")[0].encode()
    story = Client(app, "/story", method="POST", headers=[(b"cookie", cookie)])
    await story.got(b'"once"\n')
    path = f"/streams/{story.headers['x-stream-id']}/stop"
    assert (await fetch(app, path, method="POST")).status == 401
    assert (await fetch(app, path, method="POST", headers=[(b"cookie", b"user=other")])).status == 404
    stopped = await fetch(app, path, method="POST", headers=[(b"cookie", cookie)])
    assert stopped.json() == {"result": "stopped"}
    await story.finished()
    assert b'{"error":{"code":"stopped","message":"The stream was stopped."' in story.body
    assert (await endings.only()).reason == "asked by the client"


async def test_the_story_is_for_users() -> None:
    refused = await fetch(program("stopping.py")["app"], "/story", method="POST")
    assert refused.status == 401
