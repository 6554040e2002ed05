"""What is wrong with a decorator, a response or a middleware is said when the module is imported."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest

from endwell import (
    ByteStream,
    CancelOnDisconnect,
    ConfigurationError,
    EventStream,
    NDJSONStream,
    NotReleasable,
    Streams,
    cancel_on_disconnect,
)

streams = Streams()


async def letters() -> AsyncIterator[str]:
    yield "a"


async def coroutine() -> None: ...


def function() -> list[int]:
    return [1]


class CallableSource:
    async def __call__(self) -> AsyncIterator[str]:
        yield "a"


DECORATORS: dict[str, Callable[..., Any]] = {
    "sse": streams.sse,
    "sse()": streams.sse(),
    "ndjson": streams.ndjson,
    "ndjson()": streams.ndjson(),
    "bytes()": streams.bytes(),
}


# -- what is decorated ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("decorator", DECORATORS)
@pytest.mark.parametrize("wrong", [coroutine, function])
def test_a_function_that_is_no_generator_is_named(decorator: str, wrong: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=rf"generator function.*{wrong.__name__}"):
        DECORATORS[decorator](wrong)


@pytest.mark.parametrize("decorator", DECORATORS)
@pytest.mark.parametrize("wrong", [5, "letters", CallableSource(), streams.sse(letters)])
def test_what_is_no_generator_function_is_refused(decorator: str, wrong: Any) -> None:
    with pytest.raises(TypeError, match="generator function"):
        DECORATORS[decorator](wrong)


async def test_a_generator_is_not_its_function() -> None:
    generator = letters()
    with pytest.raises(TypeError, match="generator function"):
        streams.sse(generator)  # type: ignore[call-overload]
    await generator.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize("wrong", [function, letters, streams.sse, 5])
def test_cancel_on_disconnect_wants_a_plain_async_handler(wrong: Any) -> None:
    name = getattr(wrong, "__qualname__", "5")
    with pytest.raises(TypeError, match=rf"async def.*{name}"):
        cancel_on_disconnect(wrong)


# -- with which options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "nearest"),
    [
        ({"polcy": None}, "policy"),
        ({"header": {}}, "headers"),
        ({"status_code": 201}, "status"),
        ({"onend": print}, "on_end"),
    ],
)
@pytest.mark.parametrize("decorator", [streams.sse, streams.ndjson, streams.bytes])
def test_an_unknown_option_names_the_nearest(
    decorator: Callable[..., Any], options: dict[str, Any], nearest: str
) -> None:
    with pytest.raises(TypeError, match=rf"{next(iter(options))}.*'{nearest}'"):
        decorator(**options)(letters)


@pytest.mark.parametrize("option", ["owns", "background", "source", "format", "self"])
def test_an_option_for_one_response_is_none_for_an_endpoint(option: str) -> None:
    """What one response owns, a hundred requests do not."""
    with pytest.raises(TypeError, match=option):
        streams.sse(**{option: ()})(letters)  # type: ignore[call-overload]


@pytest.mark.parametrize("option", ["heartbeat", "media_type"])
def test_an_option_of_another_format_is_unknown(option: str) -> None:
    with pytest.raises(TypeError, match=option):
        streams.sse(**{option: "text/csv"})(letters)  # type: ignore[call-overload]


WRONG_OPTIONS: list[dict[str, Any]] = [
    {"status": 199},
    {"status": 600},
    {"status": 204},
    {"status": 304},
    {"status": "200"},
    {"status": True},
    {"status": 200.0},
    {"headers": {"x": "a\r\nset-cookie: b"}},
    {"headers": {"x\n": "a"}},
    {"headers": {"x": "\0"}},
    {"headers": {"x": "€"}},
    {"headers": {"x y": "a"}},
    {"headers": {"x:": "a"}},
    {"headers": {"": "a"}},
    {"headers": {"x": 1}},
    {"headers": {b"x": "a"}},
    {"headers": [("x", "a")]},
    {"headers": "x"},
    {"policy": 5},
    {"policy": {"send": 30}},
    {"on_end": 5},
]


@pytest.mark.parametrize("options", WRONG_OPTIONS, ids=repr)
@pytest.mark.parametrize("decorator", [streams.sse, streams.ndjson, streams.bytes])
def test_a_wrong_option_is_refused_at_decoration(
    decorator: Callable[..., Any], options: dict[str, Any]
) -> None:
    with pytest.raises((ConfigurationError, TypeError), match=next(iter(options)).rstrip("s")):
        decorator(**options)(letters)


@pytest.mark.parametrize("options", WRONG_OPTIONS, ids=repr)
@pytest.mark.parametrize("response", [EventStream, NDJSONStream, ByteStream])
def test_a_wrong_option_is_refused_by_the_response(
    response: Callable[..., Any], options: dict[str, Any]
) -> None:
    with pytest.raises((ConfigurationError, TypeError), match=next(iter(options)).rstrip("s")):
        response(["a"], **options)


@pytest.mark.parametrize("media_type", ["csv", "text/csv\r\n", "text/ümlaut", "", None, 5])
def test_a_wrong_media_type_is_refused_at_decoration(media_type: Any) -> None:
    with pytest.raises((ConfigurationError, TypeError), match="media_type"):
        streams.bytes(media_type=media_type)(letters)


@pytest.mark.parametrize("heartbeat", [5, "yes", None])
def test_a_heartbeat_that_is_no_yes_or_no_is_refused(heartbeat: Any) -> None:
    with pytest.raises((ConfigurationError, TypeError), match="heartbeat"):
        streams.ndjson(heartbeat=heartbeat)(letters)


# -- responses and the rest ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [partial(EventStream, []), partial(NDJSONStream, []), partial(ByteStream, []), Streams]
)
def test_an_unknown_option_of_a_constructor_names_the_nearest(make: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=r"polcy.*'policy'"):
        make(polcy=None)


@pytest.mark.parametrize("policy", [5, "fast", {"send": 30}])
def test_streams_want_a_policy(policy: Any) -> None:
    with pytest.raises((ConfigurationError, TypeError), match="policy"):
        Streams(policy=policy)


def test_what_cannot_be_released_is_refused_before_anything_starts() -> None:
    """Refused while serving, it would leave the others unreleased."""
    with pytest.raises(NotReleasable, match="int"):
        EventStream(["a"], owns=[print, 42])


@pytest.mark.parametrize("callback", [5, None, "bill"])
def test_on_end_wants_a_callback(callback: Any) -> None:
    with pytest.raises(ConfigurationError, match="on_end"):
        streams.on_end(callback)


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"paths": ["/"], "match": lambda _: True},
        {"paths": "/embed"},
        {"paths": ["embed"]},
        {"paths": [5]},
        {"match": "/embed"},
    ],
    ids=repr,
)
def test_the_middleware_wants_either_paths_or_a_match(chosen: dict[str, Any]) -> None:
    with pytest.raises((ConfigurationError, TypeError), match=r"paths|match"):
        CancelOnDisconnect(coroutine, **chosen)  # type: ignore[arg-type]
