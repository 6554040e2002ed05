"""The tree of errors is as it is drawn."""

from __future__ import annotations

import builtins
import inspect
import re
from collections.abc import Iterator

import pytest

import endwell
from endwell import errors

_LINE = re.compile(
    r"^    (?P<branch>[│├└─ ]*)(?P<name>\w+)(?: +.*?)??(?: \(also an? (?P<also>\w+)\))?$", re.MULTILINE
)


def drawn() -> Iterator[tuple[str, str, str | None]]:
    """Each error in the module's drawing: its name, the one it hangs from, the builtin it also is."""
    path: list[str] = []
    for line in _LINE.finditer(errors.__doc__ or ""):
        depth = len(line["branch"]) // 4
        path = [*path[:depth], line["name"]]
        yield line["name"], path[-2] if depth else "Exception", line["also"]


TREE = list(drawn())


def test_every_error_is_in_the_drawing_and_exported_by_its_module() -> None:
    defined = {name for name, each in vars(errors).items() if inspect.isclass(each)}
    assert defined == {name for name, _, _ in TREE}
    assert sorted(errors.__all__) == sorted(defined)


@pytest.mark.parametrize(("name", "parent", "also"), TREE)
def test_an_error_hangs_where_it_is_drawn(name: str, parent: str, also: str | None) -> None:
    bases = [base.__name__ for base in getattr(errors, name).__bases__]
    assert bases[0] == parent
    if also is not None:
        assert bases[1:] == [also]
        assert issubclass(getattr(builtins, also), Exception)


@pytest.mark.parametrize("name", errors.__all__)
def test_an_error_can_be_caught_as_endwells_and_says_when_it_comes(name: str) -> None:
    error = getattr(errors, name)
    assert issubclass(error, endwell.EndwellError)
    made = error("what", "went wrong") if error is errors.ClientError else error("what: went wrong")
    assert str(made) == "what: went wrong"
    assert error.__doc__.strip().endswith(".")


def test_what_an_application_can_meet_is_public() -> None:
    public = {name for name in vars(endwell) if name in errors.__all__}
    assert {"EndwellError", "ConfigurationError", "ChunkError", "ChunkTypeError", "SourceInUse"} <= public
    assert {"NoCurrentStream", "StreamCut"} <= public
