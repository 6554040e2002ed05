"""The one JSON encoder: what every format that speaks JSON accepts and refuses.

Carried: dict, list, tuple, set, str, int, float, bool, None, dataclasses, attrs, msgspec structs, pydantic
models (by alias, as FastAPI does), enums (their value), datetime, date, time, timedelta (ISO 8601), UUID,
Decimal (as text: no digit is lost), bytes inside something else (base64), `msgspec.Raw` (your own JSON).
"""

from __future__ import annotations

from math import isfinite
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, NoReturn

import msgspec

from endwell.errors import ChunkError, ChunkTypeError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["json_bytes"]

_BINARY: Final = frozenset({bytes, bytearray, memoryview})
_PLAIN: Final = frozenset({str, int, bool, NoneType})
_ARRAYS: Final = frozenset({list, tuple, set, frozenset})
_ONLY_KEYS: Final = (NoneType, bool, tuple, frozenset)  # msgspec encodes them itself, except as keys
_AS_BASE: Final[dict[type, Callable[[Any], str | float]]] = {
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
}
_MSGPACK_FLOAT: Final = 0xCB
_NEL: Final = b"\xc2\x85"  # U+0085
_LS: Final = b"\xe2\x80\xa8"  # U+2028
_PS: Final = b"\xe2\x80\xa9"  # U+2029


def json_bytes(value: object) -> bytes:
    """`value` as compact JSON in UTF-8, without a line break anywhere but in a `msgspec.Raw`.

    U+0085, U+2028 and U+2029 leave escaped: readers that split lines with `str.splitlines`, as httpx's
    `iter_lines` does, would break on them. A JSON parser gives them back.

    Raises:
        ChunkError: NaN or an infinity, a lone surrogate, or something nested too deeply or in itself.
        ChunkTypeError: a type that has no JSON, or bytes where a document belongs.
    """
    if type(value) is not dict and type(value) in _BINARY:
        raise ChunkTypeError(f"{type(value).__name__} is not text: decode it, or use ByteStream")
    try:
        text = _encode(value)
        try:  # `_may_hold_floats`, without its call
            may_hold_floats = _MSGPACK_FLOAT in _pack(value)
        except OverflowError:
            may_hold_floats = True
        if may_hold_floats and _has(text, b"null"):
            _refuse_non_finite(value)
    except SourceError:
        raise
    except (ValueError, TypeError, RecursionError, msgspec.MsgspecError) as error:
        raise _refusal(error) from error
    return text if text.isascii() else _escape_line_separators(text)


def _refusal(error: Exception) -> SourceError:
    if isinstance(error, RecursionError):
        return ChunkError("nested too deeply for JSON, or contains itself")
    kind = ChunkTypeError if isinstance(error, TypeError) else ChunkError
    return kind(f"not encodable as JSON: {error}")


def _escape_line_separators(text: bytes) -> bytes:
    if _NEL[0] in text or _LS[0] in text:  # which most alphabets need not
        return text.replace(_NEL, rb"\u0085").replace(_LS, rb"\u2028").replace(_PS, rb"\u2029")
    return text


# ------------------------------------------------------------------------ what msgspec does not know


def _encode_other(value: object) -> object:
    if serializer := getattr(type(value), "__pydantic_serializer__", None):
        return msgspec.Raw(_model_json(value, serializer))
    if isinstance(value, _ONLY_KEYS):
        raise ChunkTypeError(f"{type(value).__name__} cannot be a key of a JSON object: make it a str")
    if (exact := _exact(value)) is None:
        raise _no_json(value)
    return exact


def _exact(value: object) -> str | float | None:
    """A str, int or float of a subclass as what it is, None for anything else."""
    for base, as_base in _AS_BASE.items():
        if isinstance(value, base):
            return as_base(value)
    return None


def _no_json(value: object) -> ChunkTypeError:
    kind = type(value)
    return ChunkTypeError(
        f"{kind.__module__}.{kind.__qualname__} has no JSON: make it a dict, list, str, number, "
        "dataclass, msgspec struct or pydantic model"
    )


# msgspec 0.22 against orjson 3.13 on the 107-byte token event: 255 and 190 ns. But both write NaN as null,
# and orjson has no sets, Decimals, structs and ints over 64 bits: each would take a Python call.
_encode: Final = msgspec.json.Encoder(enc_hook=_encode_other).encode


def _model_json(model: object, serializer: Any) -> bytes:
    """A pydantic model's own JSON; pydantic is recognised, never imported."""
    try:
        text: bytes = serializer.to_json(model, by_alias=True)
    except ValueError:
        # To pydantic an unknown type is one more ValueError. This mode hands it over, to be named.
        serializer.to_python(model, mode="json", fallback=_refuse_type)
        raise
    # Its configuration says which of these becomes of a NaN.
    if _has(text, b"null") or _has(text, b"NaN") or _has(text, b"Infinity"):
        values = serializer.to_python(model)
        if _may_hold_floats(values):
            _refuse_non_finite(values)
    return text


def _refuse_type(value: object) -> NoReturn:
    raise _no_json(value)


# ------------------------------------------------------------------------------------ NaN, infinities


def _may_hold_floats(value: object) -> bool:
    """Look for 0xCB, with which msgpack begins every float: 0.15 µs for a token, where a walk takes 1.4.

    It comes before the look for a null, which most chunks of OpenAI's kind have, and which takes as long.
    """
    try:
        return _MSGPACK_FLOAT in _pack(value)
    except OverflowError:  # an int of over 64 bits, which only JSON can say
        return True


def _has(text: bytes, word: bytes) -> bool:
    # Not `in`, which tries its left side as an int first: 260 ns. find() takes 135, this 120.
    return text.partition(word)[1] != b""


def _refuse_non_finite(value: object) -> None:
    """Raise if there is a NaN or an infinity in `value`, which JSON encoders write as null without a word."""
    todo: list[Any] = [value]
    for item in todo:  # which grows meanwhile
        kind = type(item)
        if kind in _PLAIN:
            continue
        if kind is float:
            if not isfinite(item):
                raise ChunkError(f"{item} has no JSON: send None, or a str")
        elif kind is dict:
            todo.extend(item.values())
        elif kind in _ARRAYS:
            todo.extend(item)
        else:
            todo.append(msgspec.to_builtins(item, enc_hook=_exact))


_pack: Final = msgspec.msgpack.Encoder(enc_hook=_exact).encode
