from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import uuid
from collections import OrderedDict, UserDict, defaultdict, deque
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell.errors import ChunkError, ChunkTypeError
from endwell.wire._json import json_bytes
from tests.wire.strategies import any_text, tricky_text

NAN = math.nan


@dataclasses.dataclass
class Data:
    inner: Any


@dataclasses.dataclass(frozen=True, slots=True)
class SlottedData:
    inner: Any


class Struct(msgspec.Struct):
    inner: Any


class Model(pydantic.BaseModel):
    inner: Any


class FloatModel(pydantic.BaseModel):
    inner: float
    more: float | None = None


class Tuple(NamedTuple):
    inner: Any


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    HI = "hi"


class Odd(enum.Enum):
    NOT_A_NUMBER = NAN


class Text(str):
    __slots__ = ()


class Count(int):
    __slots__ = ()


class Ratio(float):
    __slots__ = ()


class Blob(bytes):
    __slots__ = ()


UTC_NOON = dt.datetime(2026, 11, 23, 12, 0, 0, 5, tzinfo=dt.UTC)

# -- what is carried -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "null"),
        (True, "true"),
        (10**30, "1" + "0" * 30),
        (-0.5, "-0.5"),
        ("é\n", '"é\\n"'),
        ([1, (2, 3)], "[1,[2,3]]"),
        ({1}, "[1]"),
        (frozenset({1}), "[1]"),
        (Data([1]), '{"inner":[1]}'),
        (SlottedData(None), '{"inner":null}'),
        (Struct(1.5), '{"inner":1.5}'),
        (Model(inner={"a": UTC_NOON}), '{"inner":{"a":"2026-11-23T12:00:00.000005Z"}}'),
        (pydantic.RootModel[list[int]]([1, 2]), "[1,2]"),
        (Tuple("a"), '["a"]'),
        (Color.RED, '"red"'),
        (Level.LOW, "1"),
        (Word.HI, '"hi"'),
        (UTC_NOON, '"2026-11-23T12:00:00.000005Z"'),
        (UTC_NOON.date(), '"2026-11-23"'),
        (UTC_NOON.time(), '"12:00:00.000005"'),
        (dt.timedelta(seconds=1.5), '"PT1.5S"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (decimal.Decimal("1.10"), '"1.10"'),
        (OrderedDict(a=1), '{"a":1}'),
        (defaultdict(int, a=1), '{"a":1}'),
        ({1: "int", Color.RED: "enum", uuid.UUID(int=0): "uuid"},
         '{"1":"int","red":"enum","00000000-0000-0000-0000-000000000000":"uuid"}'),
        ([b"ab", bytearray(b"ab"), memoryview(b"ab")], '["YWI=","YWI=","YWI="]'),
        (msgspec.Raw(b'{"ready": "made"}'), '{"ready": "made"}'),
        ([Text("t"), Count(3), Ratio(0.5), {Text("k"): None}], '["t",3,0.5,{"k":null}]'),
    ],
)  # fmt: skip
def test_a_value_becomes_json(value: object, expected: str) -> None:
    assert json_bytes(value) == expected.encode()


@pytest.mark.parametrize(
    "wrap", [lambda model: model, lambda model: [model], Data, Struct, lambda model: Model(inner=model)]
)
def test_a_pydantic_model_goes_as_its_openapi_schema_says_wherever_it_stands(wrap: Any) -> None:
    class Token(pydantic.BaseModel):
        text: str = pydantic.Field(alias="content")
        key: pydantic.SecretStr = pydantic.SecretStr("hidden")

    encoded = json_bytes(wrap(Token(content="hi")))
    assert b'{"content":"hi","key":"**********"}' in encoded


def test_a_subclass_of_str_goes_as_its_text_whatever_it_calls_itself() -> None:
    class Liar(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "a lie"

    assert json_bytes([Liar("true")]) == b'["true"]'


@pytest.mark.parametrize("char", ["\x85", "\u2028", "\u2029"])
def test_line_ends_of_python_leave_escaped_and_come_back(char: str) -> None:
    encoded = json_bytes({f"key{char}": f"é\\{char}\\u2028"})
    assert len(encoded.decode().splitlines()) == 1
    assert json.loads(encoded) == {f"key{char}": f"é\\{char}\\u2028"}


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | tricky_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(tricky_text, inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_what_goes_in_comes_out(value: object) -> None:
    encoded = json_bytes(value)
    assert json.loads(encoded) == value
    assert len(encoded.decode().splitlines()) == 1


@given(json_values)
def test_what_goes_into_a_model_comes_out(value: object) -> None:
    assert json.loads(json_bytes(Model(inner=value))) == {"inner": value}


# -- NaN and infinities --------------------------------------------------------------------------------------

WRAPS: list[Any] = [
    lambda value: value,
    lambda value: [None, value],
    lambda value: (value,),
    lambda value: {"a": None, "b": {"c": value}},
    lambda value: OrderedDict(a=value),
    lambda value: OrderedDict({Count(1): value, Count(2): 0.5}),
    lambda value: [10**30, value],
    lambda value: {Color.RED: value},
    lambda value: {value},
    lambda value: Data(SlottedData(value)),
    lambda value: Struct(Tuple(value)),
    lambda value: Data(Model(inner=[value])),
    lambda value: Model(inner=Struct.__struct_fields__ and {"a": value}),
    lambda value: [msgspec.Raw(b"null"), value],
]


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("value", [NAN, math.inf, -math.inf, Ratio("nan"), Odd.NOT_A_NUMBER])
def test_a_number_json_cannot_say_is_refused_wherever_it_stands(wrap: Any, value: object) -> None:
    with pytest.raises(ChunkError, match=r"(nan|inf) has no JSON"):
        json_bytes(wrap(value))


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("value", [None, "null", "NaN", "Infinity", 0.5, Ratio("0.5"), 2**63, Level.LOW])
def test_what_only_looks_like_one_is_carried(wrap: Any, value: Any) -> None:
    assert json_bytes(wrap(value))


@pytest.mark.parametrize("configured", ["null", "constants", "strings"])
@pytest.mark.parametrize("values", [{"inner": NAN}, {"inner": math.inf}, {"inner": 1.0, "more": -math.inf}])
def test_no_configuration_lets_a_model_say_it(configured: Any, values: dict[str, float]) -> None:
    class Configured(FloatModel):
        model_config = pydantic.ConfigDict(ser_json_inf_nan=configured)

    with pytest.raises(ChunkError, match="has no JSON"):
        json_bytes(Configured(**values))


def test_a_model_that_says_it_in_its_own_way_is_carried() -> None:
    class Careful(FloatModel):
        @pydantic.field_serializer("inner")
        def _say(self, value: float) -> float | None:
            return value if math.isfinite(value) else None

    assert json_bytes(Careful(inner=NAN)) == b'{"inner":null,"more":null}'


@pytest.mark.parametrize(
    "text", ["null", "˓ null"]
)  # U+02D3 is 0xCB 0x93, and 0xCB begins a float in msgpack
def test_a_none_beside_numbers_is_carried(text: str) -> None:
    chunk = {"text": text, "none": None, "number": 0.25, "raw": msgspec.Raw(b"[1.5]"), "at": UTC_NOON}
    assert b'"number":0.25' in json_bytes(chunk)


marked_values = st.recursive(
    st.floats().map(lambda x: (x, not math.isfinite(x)))
    | st.sampled_from([None, "null", 2**70, b"\xcb"]).map(lambda x: (x, False)),
    lambda inner: (
        st.lists(inner).map(lambda pairs: ([value for value, _ in pairs], any(bad for _, bad in pairs)))
        | st.tuples(
            st.sampled_from([Data, Struct, Tuple, lambda x: OrderedDict(a=x), lambda x: {"k": x}]), inner
        ).map(lambda pair: (pair[0](pair[1][0]), pair[1][1]))
    ),
)


@given(marked_values)
def test_a_number_json_cannot_say_is_found_and_nothing_else(pair: tuple[object, bool]) -> None:
    value, bad = pair
    if bad:
        with pytest.raises(ChunkError, match="has no JSON"):
            json_bytes([value])
    else:
        json.loads(json_bytes([value]))


# -- what else is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [b"a", bytearray(b"a"), memoryview(b"a")])
def test_bytes_as_a_document_are_refused_and_the_fix_named(value: object) -> None:
    with pytest.raises(
        ChunkTypeError, match=rf"^{type(value).__name__} is not text: decode it, or use ByteStream"
    ):
        json_bytes(value)


@pytest.mark.parametrize(
    "value",
    [
        object(),
        1j,
        Path(),
        deque([1]),
        UserDict(a=1),
        range(3),
        iter([]),
        len,
        Data,
        Model,
        Blob(b"a"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: {"a": [value]}, Data, Struct])
def test_a_type_without_json_is_refused_and_named(wrap: Any, value: object) -> None:
    with pytest.raises(ChunkTypeError, match=rf"{type(value).__name__} has no JSON: make it a dict"):
        json_bytes(wrap(value))


def test_a_type_without_json_is_named_within_a_model_too() -> None:
    with pytest.raises(ChunkTypeError, match=r"builtins\.object has no JSON"):
        json_bytes(Model(inner=[object()]))


@pytest.mark.parametrize("key", [None, True, (1, 2), frozenset({1})])
def test_a_key_json_cannot_say_is_refused_and_named(key: object) -> None:
    with pytest.raises(ChunkTypeError, match=rf"{type(key).__name__} cannot be a key"):
        json_bytes({key: 1})


def test_an_enum_of_something_without_json_is_refused() -> None:
    class Strange(enum.Enum):
        MEMBER = object()

    with pytest.raises(ChunkTypeError):
        json_bytes(Strange.MEMBER)


@pytest.mark.parametrize("text", ["\ud800", "a\udfff"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda text: text,
        lambda text: {text: 1},
        lambda text: [Text(text)],
        Data,
        Struct,
        lambda text: Model(inner=text),
        lambda text: Model(inner={text: 1}),
    ],
)
def test_a_lone_surrogate_is_refused_wherever_it_stands(wrap: Any, text: str) -> None:
    with pytest.raises(ChunkError, match="surrogates not allowed"):
        json_bytes(wrap(text))


@given(any_text)
def test_text_is_carried_whole_or_refused(text: str) -> None:
    try:
        encoded = json_bytes({text: text})
    except ChunkError:
        assert any("\ud800" <= char <= "\udfff" for char in text)
    else:
        assert json.loads(encoded) == {text: text}


def test_a_list_within_itself_is_refused() -> None:
    knot: list[object] = []
    knot.append(knot)
    with pytest.raises(ChunkError, match="nested too deeply"):
        json_bytes(knot)


def test_a_model_within_itself_is_refused() -> None:
    knot = Model(inner=None)
    knot.inner = knot
    with pytest.raises(ChunkError, match="Circular"):
        json_bytes(knot)


def test_an_int_python_does_not_print_is_refused() -> None:
    with pytest.raises(ChunkError, match="digits"):
        json_bytes([10**5000])


def test_a_model_whose_own_code_fails_is_refused() -> None:
    class Broken(Model):
        @pydantic.field_serializer("inner")
        def _say(self, _: object) -> object:
            raise KeyError("inner")

    with pytest.raises(ChunkError, match="inner"):
        json_bytes(Broken(inner=1))
