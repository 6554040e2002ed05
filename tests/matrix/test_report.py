"""What the cells say."""

from __future__ import annotations

from pathlib import Path

import pytest

from matrix.acts.base import Act
from matrix.measure import Cell, Sample
from matrix.report import BEGIN, END, figures, quantiles, short, survival, table, write_page
from matrix.run import Column, Plan

ACT = Act(title="an act", order=1, perform=lambda scene: 0, bound=3)
KEPT = Act(title="another", order=2, perform=lambda scene: 0, kept=True)


def sample(finished: float | None = 0.001, ending: str = "client_gone: disconnect", **more: str) -> Sample:
    """A repetition whose socket went with its source."""
    return Sample(finished=finished, freed=finished, ending=ending, wrong=more.get("wrong"))


def finished(cell: Cell) -> str:
    """What the cell says of the source."""
    return figures(ACT, cell, lambda each: each.finished)


def plan(**columns: Cell) -> tuple[Plan, list[Column]]:
    """A run of `ACT` alone, with a cell for each server."""
    made = Plan(servers=(), acts={"act": ACT}, repetitions=1, waiting=1, clients=2, no_far=None)
    cells = columns.items()
    return made, [Column(name=name, cells={"act": cell}, stopped=0.1) for name, cell in cells]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        ([0.0009, 0.001, 0.002], "1.0 / 2.0 ms"),
        ([0.15], "150 / 150 ms"),
        ([0.01, 6.04], "3.0 / 6.0 s"),
    ],
)
def test_figures_are_the_median_and_the_greatest(seconds: list[float], text: str) -> None:
    assert quantiles(seconds) == text


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Cell(samples=[sample(), sample(0.003)]), "2.0 / 3.0 ms"),
        (Cell(samples=[sample(None)]), "never (bound: 3 s)"),
        (Cell(samples=[sample(), sample(None)]), "never (bound: 3 s), 1 of 2"),
        (Cell(not_run="HTTP/2 only"), "n/a: HTTP/2 only"),
        (Cell(failed="refused"), "failed: refused"),
    ],
)
def test_a_cell_says_how_long_or_never_or_why_not(cell: Cell, text: str) -> None:
    assert finished(cell) == text


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Cell(samples=[sample(None)]), "kept"),
        (Cell(samples=[sample(wrong="socket gone")]), "lost: socket gone"),
        (Cell(samples=[sample(wrong="socket gone"), sample(None)]), "lost 1 of 2: socket gone"),
        (Cell(not_run="needs root"), "n/a: needs root"),
    ],
)
def test_what_must_survive_was_kept_or_lost(cell: Cell, text: str) -> None:
    assert survival(cell) == text


def test_an_act_is_a_row_for_the_source_and_one_for_the_socket() -> None:
    rows = table(*plan(one=Cell(samples=[sample()]), two=Cell(not_run="no"))).splitlines()
    assert [cell.strip() for cell in rows[2].split("|")] == [
        "",
        "an act",
        "`finally`",
        "1.0 / 1.0 ms",
        "n/a: no",
        "",
    ]
    assert len({len(row) for row in rows}) == 1


def test_an_unexpected_outcome_is_named() -> None:
    slow = Cell(samples=[sample(ending="slow_client: send_blocked")])
    assert "1.0 / 1.0 ms, as slow_client |" in table(*plan(one=slow))


def test_a_server_that_is_not_installed_says_so() -> None:
    made, _ = plan()
    assert "n/a: daphne is not installed" in table(
        made, [Column(name="daphne", not_run="daphne is not installed")]
    )


def test_what_falls_short_is_listed() -> None:
    good, bad = Cell(samples=[sample()]), Cell(samples=[sample(), sample(None)])
    (line,) = short(*plan(good=good, bad=bad, absent=Cell(not_run="no")))
    assert line.startswith("bad, an act: 1 of 2, ")


def test_an_act_that_could_not_be_done_falls_short() -> None:
    assert short(*plan(one=Cell(failed="not blocked within 5 s"))) == ["one, an act: not blocked within 5 s"]


def test_a_survivor_that_was_lost_falls_short() -> None:
    assert not sample(wrong="socket gone").complete(KEPT)
    assert not sample(wrong="connection gone").complete(ACT)
    assert sample(None).complete(KEPT)


def test_the_page_is_changed_between_its_marks_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_page(*plan(one=Cell(samples=[sample()])), page)
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert "| an act" in text


def test_a_page_without_marks_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing")
    with pytest.raises(ValueError, match="needs the lines"):
        write_page(*plan(one=Cell(samples=[sample()])), page)
