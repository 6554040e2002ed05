"""What the tables, the picture and the page say of given samples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.harness import page
from benchmarks.harness.picture import draw
from benchmarks.harness.report import Report
from benchmarks.harness.rounds import Results, Sample
from benchmarks.harness.stats import Figures, Spread, Subject
from benchmarks.workloads.base import Target

ABOUT = {
    "date": "2026-01-02",
    "machine": {"processor": "a processor", "cores": "2", "kernel": "6.1", "python": "3.11"},
    "packages": {"endwell": "0.1", "uvicorn": "0.54"},
    "rounds": 3,
}
READY = Subject("uvicorn", 1, "bare", "one")


def samples(subject: Subject = READY, client: float = 0.5, **figures: list[float]) -> list[Sample]:
    """A sample for each figure, in rounds."""
    return [
        Sample(**subject._asdict(), peer=peer, round=number, value=value, client=client)
        for peer, values in figures.items()
        for number, value in enumerate(values)
    ]


def report(*of: Sample, troubles: tuple[str, ...] = ()) -> Report:
    """A report of these."""
    return Report(Results([*of], [*troubles]), ABOUT)


def row(table: str, number: int = 2) -> list[str]:
    """The cells of a line."""
    return [cell.strip() for cell in table.splitlines()[number].strip("|").split("|")]


def test_ratios_are_taken_within_a_round() -> None:
    figures = Figures(samples(raw=[10, 20, 40], endwell=[5, 30, 20]))
    assert figures.ratio(READY, "endwell", "raw") == Spread(0.5, 0.5, 1.5)
    assert figures.value(READY, "endwell") == Spread(20, 5, 30)


def test_a_round_without_the_other_gives_no_ratio() -> None:
    figures = Figures(samples(raw=[10], endwell=[5, 30]))
    assert figures.ratio(READY, "endwell", "raw") == Spread(0.5, 0.5, 0.5)
    assert figures.ratio(READY, "endwell", "litestar") is None


@pytest.mark.parametrize(("ours", "verdict"), [([2, 2, 2], "reached"), ([3, 3, 1], "**missed**")])
def test_a_target_is_judged_by_the_median_of_the_ratios(ours: list[float], verdict: str) -> None:
    cells = row(report(*samples(raw=[10, 10, 10], endwell=ours)).targets())
    assert cells[-3:] == ["≤ 0.22 × raw", verdict, "50%"]


def test_a_target_over_another_peer_is_judged_by_that() -> None:
    subject = Subject("uvicorn", 5, "routed", "stream")
    theirs = samples(subject, **{"sse-starlette": [10]})  # type: ignore[arg-type]
    made = [*samples(subject, raw=[9], endwell=[4]), *theirs]
    assert row(report(*made).targets())[-3:-1] == ["≤ 0.5 × sse-starlette", "reached"]


def test_a_target_whose_peer_was_not_measured_is_neither() -> None:
    cells = row(report(*samples(endwell=[4])).targets())
    assert cells[4:8] == ["–", "–", "≤ 0.22 × raw", "–"]


def test_on_other_servers_there_are_no_targets() -> None:
    subject = READY._replace(server="granian")
    cells = row(report(*samples(subject, raw=[10], endwell=[4])).targets())
    assert cells[0] == "1. always-ready source, granian"
    assert cells[-3:-1] == ["", ""]


@pytest.mark.parametrize(
    ("target", "text", "good", "bad"),
    [
        (Target(0.5), "≤ 0.5 × raw", 0.5, 0.6),
        (Target(10, None), "≤ 10", 9, 11),
        (Target(100, None, at_least=True), "≥ 100", 100, 99),
    ],
)
def test_a_target_says_itself(target: Target, text: str, good: float, bad: float) -> None:
    assert str(target) == text
    assert target.is_met_by(good)
    assert not target.is_met_by(bad)


def test_peers_stand_side_by_side() -> None:
    made = report(*samples(raw=[10], endwell=[2.5], starlette=[12]))
    head, cells = row(made.peers(), 0), row(made.peers())
    assert head[2:] == ["raw", "endwell", "starlette"]
    assert cells[2:] == ["10", "2.5 (× 0.25)", "12 (× 1.2)"]


def test_a_busy_client_is_told_and_so_is_what_failed() -> None:
    assert report(*samples(raw=[10])).notes() == ""
    notes = report(*samples(raw=[10], client=0.95), troubles=("a peer broke",)).notes()
    assert "Not measured: a peer broke" in notes
    assert "uvicorn, work 1: the client was busy" in notes


def test_it_is_told_if_the_server_was_not_alone_on_its_core() -> None:
    alone, beside = samples(raw=[10], endwell=[2]), samples(raw=[10])[0]
    assert report(*alone).notes() == ""
    notes = report(*alone, replace(beside, taken=0.3)).notes()
    assert notes.startswith("- uvicorn, work 1: other programs")
    assert notes.endswith("up to 30% of the time.")


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    made = report(*samples(raw=[10, 11], endwell=[2, 3]), troubles=("a peer broke",))
    as_json, as_markdown = made.write(tmp_path)
    again = Report.read([as_json])
    assert str(again) == str(made)
    assert str(made) in as_markdown.read_text()


def test_of_a_work_that_was_measured_again_the_last_counts(tmp_path: Path) -> None:
    suspending = Subject("uvicorn", 2, "bare", "one")
    first, _ = report(*samples(raw=[10]), *samples(suspending, raw=[20])).write(tmp_path / "first")
    second, _ = report(*samples(raw=[11])).write(tmp_path / "second")
    figures = Report.read([first, second]).figures
    assert [figures.value(subject, "raw") for subject in figures] == [Spread(11, 11, 11), Spread(20, 20, 20)]


def test_the_picture_has_a_dot_for_each_peer_but_raw() -> None:
    made = report(*samples(raw=[10, 10], endwell=[2, 3], starlette=[900, 900]))
    root = ET.fromstring(draw(made))
    dots = root.findall("{http://www.w3.org/2000/svg}circle")
    assert len(dots) == 2 * 2  # in the legend, and in the row
    assert all(0 < float(dot.attrib["cx"]) < float(root.attrib["width"]) for dot in dots)


def test_the_page_is_filled_between_its_marks(tmp_path: Path) -> None:
    path = tmp_path / "speed.md"
    marks = [
        f"<!-- {name}: written by python -m benchmarks --docs -->\nold\n<!-- end of {name} -->"
        for name in ("targets", "peers")
    ]
    path.write_text("\n".join(["before", *marks, "after"]))
    other = READY._replace(metric="hundred")
    made = report(*samples(raw=[10, 10], endwell=[2]), *samples(other, raw=[10]))
    page.write(made, path)
    text = path.read_text()
    assert made.targets() in text
    assert made.peers() in text
    assert "old" not in text
    assert "Medians of 1 to 2 interleaved rounds" in text
    assert (text.startswith("before"), text.endswith("after")) == (True, True)
    assert path.with_suffix(".svg").read_text() == draw(made)


def test_a_page_without_marks_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "speed.md"
    path.write_text("nothing")
    with pytest.raises(ValueError, match="needs the lines"):
        page.write(report(*samples(raw=[10])), path)
