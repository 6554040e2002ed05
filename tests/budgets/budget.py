"""The budgets: what each path may cost, and where it cost that when it was written down."""

from __future__ import annotations

import platform
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

from tests.budgets.counting import Cost

FILE = Path(__file__).with_name("budgets.toml")
PYTHON = (3, 11)
"""Instructions differ from one Python to the next: they are counted on the oldest that is supported."""
MORE = 0.05
"""What a cost may grow by, as a share of itself."""
SLACK = 0.05
"""What it may grow by in any case: less than one of anything."""
SHOWN = 5

_SHOWN_FROM = 0.01
_SHARE = 0.01
"""Of a cost: a place with less is not written down, so that the file stays readable."""
_PACKAGES = ("anyio", "h11", "httptools", "msgspec", "starlette", "uvicorn")
_HEAD = """\
# What the hot paths of endwell may cost; see tests/budgets/__init__.py. Written by scripts/update-budgets.
"""

Budgets: TypeAlias = Mapping[str, Any]


def read() -> Budgets:
    """What was written."""
    return tomllib.loads(FILE.read_text())


def write(costs: Mapping[str, Cost]) -> None:
    """What the paths cost is what they may cost from now on."""
    FILE.write_text("\n".join([_HEAD, *_table("counted_with", _versions()), *_sections(costs)]))


def excesses(costs: Mapping[str, Cost], budgets: Budgets) -> list[str]:
    """Each cost over its budget, with the places where it has grown most; and each that has no budget."""
    found = []
    for path, cost in costs.items():
        for what, places in cost.items():
            now, was = places.total(), budgets.get(path, {}).get(what)
            if was is None:
                found.append(f"{path}: {what}: {now:.2f}, and no budget")
            elif now > was * (1 + MORE) + SLACK:
                grown = _grown(places, budgets[path]["where"].get(what, {}), was * _SHARE)
                found.append(f"{path}: {what}: {was:.2f} -> {now:.2f}{_percent(was, now)}\n{grown}")
    return found


def other_versions(budgets: Budgets) -> list[str]:
    """What is installed in another version than the budgets were counted with."""
    counted = budgets["counted_with"]
    return [
        f"{name} {now}, not {counted.get(name)}"
        for name, now in _versions().items()
        if counted.get(name) != now
    ]


def _grown(places: Mapping[str, float], before: Mapping[str, float], unwritten: float) -> str:
    """The places that cost most more than before; what was not written down was at most `unwritten`."""
    growth = {place: now - before.get(place, min(now, unwritten)) for place, now in places.items()}
    most = sorted(
        (place for place in growth if growth[place] > _SHOWN_FROM), key=lambda place: -growth[place]
    )
    return "\n".join(
        f"    {place}: {before.get(place, 0):.2f} -> {places[place]:.2f}" for place in most[:SHOWN]
    )


def _percent(was: float, now: float) -> str:
    return f" (+{(now / was - 1) * 100:.0f} %)" if was else ""


def _sections(costs: Mapping[str, Cost]) -> Iterator[str]:
    for path, cost in costs.items():
        yield from _table(path, {what: places.total() for what, places in cost.items()})
        for what, places in cost.items():
            least = places.total() * _SHARE
            written = {place: places[place] for place in sorted(places) if places[place] > least}
            if written:
                yield from _table(f"{path}.where.{what}", written)


def _table(name: str, values: Mapping[str, float | str]) -> Iterator[str]:
    yield f"[{name}]"
    for key, value in values.items():
        yield f'"{key}" = "{value}"' if isinstance(value, str) else f'"{key}" = {value:.2f}'
    yield ""


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}
