"""Servers and acts as data: what is said of them is true of each."""

from __future__ import annotations

from argparse import ArgumentTypeError

import pytest

from matrix import acts
from matrix.cli import named
from matrix.servers import SERVERS, Served


def test_every_act_has_a_place_of_its_own_in_the_table() -> None:
    orders = [act.order for act in acts.load().values()]
    assert orders == sorted(set(orders))


def test_an_act_that_not_every_version_of_http_has_says_why() -> None:
    assert all(act.why_not for act in acts.load().values() if act.http != {1, 2})


def test_names_of_servers_differ() -> None:
    assert len({served.name for served in SERVERS}) == len(SERVERS)


@pytest.mark.parametrize("served", SERVERS, ids=lambda served: served.name)
def test_a_server_listens_where_it_is_told(served: Served) -> None:
    command = served.listening_on("0.0.0.0").command("app", 80)
    assert any("0.0.0.0" in word for word in command)
    assert not any("127.0.0.1" in word for word in command)


def test_servers_are_chosen_by_name() -> None:
    assert named("granian-h2,daphne") == ["granian-h2", "daphne"]


def test_an_unknown_server_is_named_with_those_there_are() -> None:
    with pytest.raises(ArgumentTypeError, match=r"unknown: apache; known: .*granian"):
        named("granian,apache")
