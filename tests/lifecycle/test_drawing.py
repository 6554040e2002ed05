"""The picture and the tables of the docs show the machine as it is."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from endwell.lifecycle import OUTCOMES, TRANSITIONS, Act, Cause, Outcome, State
from scripts import draw_lifecycle as drawing

SVG = "{http://www.w3.org/2000/svg}"


def test_the_committed_files_are_up_to_date() -> None:
    """If not: python scripts/draw_lifecycle.py."""
    for path, content in drawing.drawn().items():
        assert path.read_text(encoding="utf-8") == content


def test_drawing_again_changes_nothing() -> None:
    assert drawing.drawn() == drawing.drawn()


# -- the picture ---------------------------------------------------------------------------------------------


def test_the_picture_has_every_state_and_all_that_leads_on() -> None:
    texts = [text.text for text in ET.fromstring(drawing.draw()).iter(f"{SVG}text")]
    assert texts[: len(State)] == list(State)
    for labels in drawing.edges().values():
        assert set(labels) <= set(texts)


def test_the_picture_needs_nothing_from_elsewhere() -> None:
    picture = drawing.draw().replace("http://www.w3.org/2000/svg", "")
    assert "http" not in picture
    assert "url(#tip)" in picture


def test_nothing_drawn_leaves_the_picture() -> None:
    picture = ET.fromstring(drawing.draw())
    _, _, width, height = map(float, picture.attrib["viewBox"].split())
    for text in picture.iter(f"{SVG}text"):
        x, y = float(text.attrib["x"]), float(text.attrib["y"])
        room = 8 * len(text.text or "")  # more than a letter is wide
        before, after = {"end": (room, 0), "start": (0, room)}.get(text.attrib.get("text-anchor", ""), (0, 0))
        assert before <= x <= width - after
        assert 0 <= y <= height


def test_every_step_that_leads_on_is_an_edge() -> None:
    edges = drawing.edges()
    for state, steps in TRANSITIONS.items():
        for step, following in steps.items():
            assert (following is state) or step.value in edges[state, following]


def test_what_time_alone_leads_to_is_an_edge_too() -> None:
    edges = drawing.edges()
    assert "hold over" in edges[State.HELD, State.OPEN]
    assert "cleanup overdue" in edges[State.CLOSING, State.ENDED]


def test_leaps_on_one_side_do_not_cross() -> None:
    sides = drawing._sides([(0, 1), (0, 2), (0, 3), (1, 3)])
    assert sides == {(0, 2): 1, (1, 3): -1, (0, 3): 1}


# -- the tables ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("deadline", "state", "act"),
    [
        ("hold", State.HELD, Act.COMMIT),
        ("hold", State.OPEN, None),
        ("heartbeat", State.HELD, None),
        ("heartbeat", State.OPEN, Act.HEARTBEAT),
        ("first_chunk", State.HELD, Act.CANCEL),
        ("first_chunk", State.OPEN, Act.CANCEL),
        ("between_chunks", State.HELD, None),
        ("between_chunks", State.OPEN, Act.CANCEL),
        ("send", State.FLUSHING, Act.CANCEL),
        ("total", State.FLUSHING, Act.CANCEL),
        ("total", State.CLOSING, None),
        ("cleanup", State.OPEN, None),
        ("cleanup", State.CLOSING, Act.ABANDON),
        ("cleanup", State.ENDED, None),
    ],
)
def test_a_deadline_is_found_where_it_runs(deadline: str, state: State, act: Act | None) -> None:
    found = drawing.passed(deadline, state)
    assert (found and found.act) == act


def test_every_cause_has_its_row() -> None:
    rows = drawing.causes_table().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == [
        cause for cause in Cause if OUTCOMES[cause] is not Outcome.REJECTED
    ]
