"""How the tests ask for a story, and what must have become of one whose client left."""

from __future__ import annotations

from tests.clients.families import WORDS
from tests.servers.observer import Observer

TEXT = "".join(WORDS)
"""What the whole story says."""
BEGINNING = "".join(WORDS[:2])
"""What was said before the source raised."""
SECRET = "hunter2"
"""What the source's exception says, and no client may see."""


def asked(observer: Observer, story: str) -> dict[str, str]:
    """The headers that ask for `story` under the test's tag."""
    return {"x-story": story, "x-tag": observer.tag}


def assert_cancelled(observer: Observer) -> None:
    """The one source was cancelled, its awaited cleanup ran to its end, and it has one ending."""
    (record,) = observer.wait_ended(1, "client_gone")
    assert record["left"] == "CancelledError"


def assert_goes_on(observer: Observer) -> None:
    """The one source is still being read from."""
    (record,) = observer.wait_started(1)
    seen = record["chunks"]
    observer.wait("going on", lambda records: records[0]["chunks"] > seen + 10)
