"""Which model answers: the demo's own process, or a real one."""

from __future__ import annotations

import pytest

from demo.model import language_model
from demo.upstream import MODEL

pytestmark = pytest.mark.real_time


async def test_without_a_real_model_a_process_of_its_own_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    async with language_model() as model:
        assert model.name == MODEL
        assert await model.sighting("never asked") is None


async def test_the_environment_names_a_real_one(monkeypatch: pytest.MonkeyPatch, upstream: str) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"{upstream}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "a key")
    monkeypatch.setenv("OPENAI_MODEL", "a real one")
    async with language_model() as model:
        assert str(model.client.base_url) == f"{upstream}/v1/"
        assert model.name == "a real one"


async def test_a_real_model_cannot_say_what_it_saw(monkeypatch: pytest.MonkeyPatch, upstream: str) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"{upstream}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "a key")
    async with language_model() as model:
        sighting = await model.sighting("any")
    assert sighting is not None
    assert sighting.seen == "unknown"
