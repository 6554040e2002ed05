"""OpenAI's and Anthropic's JavaScript clients, the AI SDK, AG-UI and `eventsource`, in Node.

They have all run, in one process, before the first test looks at what one of them saw: see node.mjs.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.clients.families import WORDS
from tests.clients.telling import BEGINNING, SECRET, TEXT
from tests.servers.servers import Server

pytestmark = pytest.mark.timeout(300)  # for the first installation
APIS = ["openai-chat", "openai-responses", "anthropic"]
OPENAI = APIS[:2]
FAILED = ("fails", "The stream failed.", "internal_error")
TOLD = ("tells", "No words are left.", "quota_exceeded")
WAYS = [
    *(f"{api} leaves by {way}" for api in APIS for way in ("break", "abort", "signal")),
    "ai-sdk leaves by stop",
    "ag-ui leaves by abortRun",
    "eventsource leaves by close",
]

Saw = dict[str, Any]


@pytest.fixture(scope="module")
def saw(server: Server, node: str, packages: Path) -> dict[str, Saw]:
    """What each client saw, by "client story"."""
    done = subprocess.run(
        [node, packages / "node.mjs", server.url, uuid4().hex],
        cwd=packages,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Saw] = json.loads(done.stdout)
    return found


def text_of(api: str, items: list[Any]) -> str:
    """What the items say; fails for one that is none of the API's."""
    if api == "openai-chat":
        return "".join(item["choices"][0]["delta"].get("content", "") for item in items)
    deltas = [item["delta"] for item in items if item["type"].endswith(("_text.delta", "_block_delta"))]
    return "".join(delta if isinstance(delta, str) else delta["text"] for delta in deltas)


def endings(saw: Saw) -> list[tuple[str | None, list[str]]]:
    """How each source was left, and what was recorded of its stream."""
    return [
        (record["left"], [ending["outcome"] for ending in record["endings"]]) for record in saw["records"]
    ]


@pytest.mark.parametrize("way", WAYS)
def test_leaving_cancels_the_source(saw: dict[str, Saw], way: str) -> None:
    assert endings(saw[way]) == [("CancelledError", ["client_gone"])]


def test_every_case_was_looked_at(saw: dict[str, Saw]) -> None:
    assert not [name for name, seen in saw.items() if seen.keys() & {"stuck", "threw"}]
    assert {name for name in saw if "leaves" in name} == set(WAYS)


# -- OpenAI and Anthropic ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("api", "events"), [("openai-chat", 5), ("openai-responses", 5), ("anthropic", 8)])
def test_ids_heartbeats_and_a_retry_disturb_nothing(saw: dict[str, Saw], api: str, events: int) -> None:
    whole = saw[f"{api} whole"]
    assert (whole["error"], len(whole["items"]), text_of(api, whole["items"])) == (None, events, TEXT)


@pytest.mark.parametrize(("story", "message", "code"), [FAILED, TOLD])
@pytest.mark.parametrize("api", OPENAI)
def test_openai_raises_an_error_in_mid_stream_with_its_code(
    saw: dict[str, Saw], api: str, story: str, message: str, code: str
) -> None:
    seen = saw[f"{api} {story}"]
    error = seen["error"]
    assert (error["kind"], error["message"], error["code"]) == ("APIError", message, code)
    assert text_of(api, seen["items"]) == BEGINNING
    assert error["body"]["ref"]


@pytest.mark.parametrize(("story", "message", "code"), [FAILED, TOLD])
def test_anthropic_raises_an_error_in_mid_stream_with_its_code(
    saw: dict[str, Saw], story: str, message: str, code: str
) -> None:
    seen = saw[f"anthropic {story}"]
    body = seen["error"]["body"]
    assert seen["error"]["kind"] == "APIError"
    assert (body["error"]["message"], body["error"]["code"]) == (message, code)
    assert text_of("anthropic", seen["items"]) == BEGINNING
    assert body["request_id"]


@pytest.mark.parametrize("api", APIS)
def test_a_failure_that_cannot_be_told_is_thrown(saw: dict[str, Saw], api: str) -> None:
    seen = saw[f"{api} fails-torn"]
    assert text_of(api, seen["items"]) == BEGINNING
    assert seen["error"] is not None


def test_no_client_sees_the_exception(saw: dict[str, Saw]) -> None:
    seen = [{key: part for key, part in case.items() if key != "records"} for case in saw.values()]
    assert SECRET not in json.dumps(seen)


# -- the AI SDK ----------------------------------------------------------------------------------------------


def test_the_ai_sdk_is_not_disturbed_by_ids_heartbeats_and_a_retry(saw: dict[str, Saw]) -> None:
    whole = saw["ai-sdk whole"]
    assert (whole["text"], whole["status"], whole["errors"]) == (TEXT, "ready", [])


@pytest.mark.parametrize(("story", "message", "code"), [FAILED, TOLD])
def test_the_ai_sdk_reports_an_error_in_mid_stream(
    saw: dict[str, Saw], story: str, message: str, code: str
) -> None:
    seen = saw[f"ai-sdk {story}"]
    (error,) = seen["errors"]
    assert error["message"].startswith(f"{message} (ref ")
    assert (seen["text"], seen["status"]) == (BEGINNING, "error")
    assert [finished["isError"] for finished in seen["finished"]] == [True]


def test_the_ai_sdk_reports_an_error_before_the_first_word(saw: dict[str, Saw]) -> None:
    seen = saw["ai-sdk refuses"]
    assert seen["status"] == "error"
    assert json.loads(seen["errors"][0]["message"])["error"]["code"] == "quota_exceeded"


def test_the_ai_sdk_reports_a_failure_that_cannot_be_told(saw: dict[str, Saw]) -> None:
    seen = saw["ai-sdk fails-torn"]
    assert (seen["text"], seen["status"], len(seen["errors"])) == (BEGINNING, "error", 1)


# -- AG-UI ---------------------------------------------------------------------------------------------------


def test_ag_ui_is_not_disturbed_by_ids_heartbeats_and_a_retry(saw: dict[str, Saw]) -> None:
    whole = saw["ag-ui whole"]
    words = [event["delta"] for event in whole["events"] if event["type"] == "TEXT_MESSAGE_CONTENT"]
    assert (words, len(whole["events"])) == (list(WORDS), 7)
    assert (whole["failures"], whole["runErrors"], whole["result"]) == ([], [], "resolved")


@pytest.mark.parametrize(("story", "message", "code"), [FAILED, TOLD])
def test_ag_ui_hands_an_error_in_mid_stream_to_its_listener(
    saw: dict[str, Saw], story: str, message: str, code: str
) -> None:
    seen = saw[f"ag-ui {story}"]
    (error,) = seen["runErrors"]
    assert (error["message"], error["code"]) == (message, code)
    assert seen["events"][-1] == error
    assert seen["failures"] == []


def test_ag_ui_reports_a_failure_that_cannot_be_told(saw: dict[str, Saw]) -> None:
    seen = saw["ag-ui fails-torn"]
    assert len(seen["failures"]) == 1
    assert seen["result"] != "resolved"


# -- eventsource ---------------------------------------------------------------------------------------------


def test_eventsource_comes_back_after_an_end_that_nothing_marks(saw: dict[str, Saw]) -> None:
    whole = saw["eventsource whole"]
    assert [seen["id"] for seen in whole["seen"] if seen["type"] == "message"][:3] == ["0", "1", "2"]
    assert (whole["opened"], whole["closed"]) == (2, False)
    assert len(whole["records"]) == 2


@pytest.mark.parametrize(("story", "last"), [("plain-resumed", "end"), ("fails-resumed", "error")])
def test_eventsource_does_not_come_back_after_one_that_is_marked(
    saw: dict[str, Saw], story: str, last: str
) -> None:
    seen = saw[f"eventsource {story}"]
    with_data = [event for event in seen["seen"] if event["data"] is not None]
    assert with_data[-1]["type"] == last
    assert with_data[-1]["id"].endswith("-end")
    assert (seen["opened"], seen["closed"], len(seen["records"])) == (1, True, 1)


def test_eventsource_hands_an_error_in_mid_stream_to_its_listener(saw: dict[str, Saw]) -> None:
    (error, *_) = [event for event in saw["eventsource fails"]["seen"] if event["type"] == "error"]
    assert json.loads(error["data"])["code"] == "internal_error"


@pytest.mark.parametrize(("story", "words"), [("fails-torn", 2), ("busy", 0)])
def test_eventsource_comes_back_after_a_cut_and_to_a_busy_server(
    saw: dict[str, Saw], story: str, words: int
) -> None:
    seen = saw[f"eventsource {story}"]
    before = [event["type"] for event in seen["seen"]][: words + 1]
    assert before == [*["message"] * words, "error"]
    assert (seen["opened"], seen["closed"]) == (2, False)
