"""What the table of shutdowns says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from matrix.report import BEGIN, END
from matrix.shutdown import CROWD, NOTHING, Column, Plan, Sample
from matrix.shutdown_report import cell, short, table, write_page


def sample(exited: float | None = 0.5, *wrong: str) -> Sample:
    """A launch that was in time unless something is wrong."""
    return Sample(exited=exited, in_time=not wrong, wrong=wrong)


def column(**samples: Sequence[Sample]) -> Column:
    """One server's launches."""
    return Column(name="one", family="a server", samples=samples, not_run={"dependent": "why not"})


PLAN = Plan(servers=(), launches=2, crowd=1000)


@pytest.mark.parametrize(
    ("samples", "text"),
    [
        ([sample(0.1), sample(0.3)], "200 / 300 ms"),
        ([sample(2.1), sample(2.3, "late")], "2.2 / 2.3 s, 1 of 2 wrong"),
        ([sample(None, "still there")], "never, 1 of 1 wrong"),
        ([], "–"),
    ],
)
def test_a_cell_has_the_median_and_the_greatest_time_and_what_was_wrong(
    samples: list[Sample], text: str
) -> None:
    assert cell(samples) == text


def test_every_situation_has_a_row_and_all_launches_are_counted() -> None:
    rows = table(PLAN, [column(idle=[sample(), sample(3.0, "late")], nothing=[sample(0.1)])]).splitlines()
    assert len(rows) == 2 + len(PLAN.rows) + 1
    assert rows[2].startswith("| no stream is open")
    assert "| n/a: why not |" in " ".join(" ".join(rows).split())
    assert "| 2 of 3" in rows[-1]
    assert len({len(row) for row in rows}) == 1


def test_the_crowd_has_a_row_where_there_is_one() -> None:
    assert CROWD in PLAN.rows
    assert CROWD not in Plan(servers=(), launches=1, crowd=0).rows
    assert PLAN.rows[0] == NOTHING


def test_what_falls_short_is_listed() -> None:
    found = [column(idle=[sample(), sample(3.0, "late", "and not told")], nothing=[sample()])]
    assert short(found) == ["one, idle: 1 of 2, late; and not told"]


def test_the_page_gets_the_table(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    write_page(PLAN, [column()], page)
    assert "| no stream is open" in page.read_text()
    assert page.read_text().endswith(f"{END}\nafter\n")
