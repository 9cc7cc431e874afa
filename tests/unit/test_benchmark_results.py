import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.figures import CPU, PEAK, RATE, Growth, Section, Target, Turn
from benchmarks.report import CHARTS, PAGE, README, charts, figures, file_name, page, runs, with_figures
from benchmarks.results import Run, from_text, to_text
from benchmarks.sections import ASKED_FOR, SECTIONS, chosen
from tests import pages

CIRCUMSTANCES = {
    "machine": "a machine, 2 cores",
    "system": "Linux",
    "python": "Python 3.11",
    "date": "2026-01-01",
    "commit": "abc",
}
COMPARISON = Path(__file__).parents[2] / "docs" / "comparison.md"
HERALD, PEER, FLOOR = "Herald on <Kafka> & Co", "Go gin", "floor: bare"
TURNS = {
    FLOOR: [Turn({RATE: 100.0, CPU: 10.0}, 0.25), Turn({RATE: 100.0, CPU: 20.0})],
    HERALD: [Turn({RATE: 100.0, CPU: 30.0}), Turn({RATE: 100.0})],
    PEER: [Turn({RATE: 100.0, CPU: 25.0, PEAK: 12.0}), Turn({PEAK: 13.0})],
}
TARGETS = Target(HERALD, CPU, must=1.3, aim=1.0, beside=PEER), Target(HERALD, RATE, must=90.0)
GROWTH = Growth("messages a request", {FLOOR: ("bare", 1.0), HERALD: ("Kafka", 1.0), PEER: ("Kafka", 500.0)})


def run(*sections: Section) -> Run:
    return Run(CIRCUMSTANCES, list(sections))


def elements(svg: str, name: str) -> list[ET.Element]:
    return list(ET.fromstring(svg).iter(f"{{http://www.w3.org/2000/svg}}{name}"))  # noqa: S314 - our own


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in elements(svg, "text")]


def test_results_are_read_back_as_they_were() -> None:
    kept = run(
        Section("produce", TURNS, TARGETS, FLOOR),
        Section("growth", TURNS, growth=GROWTH),
        Section("empty", {}),
    )

    assert from_text(to_text(kept)) == kept


def test_a_figure_is_kept_with_six_digits() -> None:
    section = Section("produce", {HERALD: [Turn({RATE: 1234.56789}, 0.123456789)]})

    assert from_text(to_text(run(section))).sections[0].turns == {HERALD: [Turn({RATE: 1234.57}, 0.123457)]}


def test_bars_name_each_row_with_its_median() -> None:
    svg = charts({"produce": run(Section("produce", TURNS, TARGETS))})["produce.svg"]

    assert texts(svg) == [
        "produce: CPU, us/message",
        "a machine, 2 cores, Python 3.11, Linux, 2026-01-01, commit abc",
        *[FLOOR, "15.0", HERALD, "30.0", PEER, "25.0"],
    ]


def test_bars_leave_out_a_row_whose_peer_is_missing() -> None:
    turns = {what: TURNS[what] for what in (FLOOR, HERALD)}
    svg = charts({"produce": run(Section("produce", turns, TARGETS))})["produce.svg"]

    assert FLOOR in texts(svg)
    assert HERALD not in texts(svg)


def test_lines_name_their_axis_and_each_point_has_its_place() -> None:
    svg = charts({"growth": run(Section("Cost of a batch", TURNS, growth=GROWTH))})["cost-of-a-batch.svg"]
    drawn = [
        element.get("points", "")
        for element in elements(svg, "polyline")
        if element.get("class") == "line c1"
    ]

    assert {"messages a request", "Kafka", "bare", "1", "500"} <= set(texts(svg))
    assert [len(points.split()) for points in drawn] == [2, 2]  # the line, and its mark in the legend


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["batch"], ["batch"]),
        (["consume", "produce"], ["produce", "consume"]),
        (["growth"], [name for name in SECTIONS if name in ASKED_FOR]),
        (["nothing"], []),
        ([], [name for name in SECTIONS if name not in ASKED_FOR]),
    ],
)
def test_sections_are_chosen_by_their_names(names: list[str], expected: list[str]) -> None:
    assert chosen(names) == expected


@pytest.mark.parametrize("path", pages.READ_BY_PEOPLE, ids=lambda path: path.name)
def test_every_section_that_a_page_names_exists(path: Path) -> None:
    named = re.findall(r"`make bench-([a-z-]+)", path.read_text())

    assert [name for name in named if name != "charts" and not chosen([name])] == []


def test_only_what_is_compared_or_grows_is_drawn() -> None:
    assert charts({"start": run(Section("start", TURNS))}) == {}


def test_readme_gets_a_line_for_each_wanted_target_that_has_its_peer() -> None:
    lacking = Section("start", {HERALD: TURNS[HERALD]}, TARGETS[:1])
    shown = Target(HERALD, CPU, beside=FLOOR)
    text = figures({"produce": run(Section("produce", TURNS, (*TARGETS, shown))), "start": run(lacking)})

    assert text.splitlines() == [
        "| what | measured | must | aim |",
        "| --- | --- | --- | --- |",
        f"| produce: {HERALD} | CPU 1.20 x Go gin | at most 1.3: ok | at most 1: missed |",
        f"| produce: {HERALD} | rate 100 /s | at least 90: ok |  |",
        "",
        "![produce: CPU, us/message](docs/charts/produce.svg)",
        "",
        "a machine, 2 cores, Python 3.11, Linux, 2026-01-01, commit abc.",
    ]


def test_readme_leaves_out_what_has_no_target_and_bounds_of_memory() -> None:
    bounded = run(Section("memory of an API process", TURNS, TARGETS))

    assert figures({"growth": run(Section("growth", TURNS, growth=GROWTH)), "memory": bounded}) == ""


def test_the_page_has_every_row_and_every_ratio() -> None:
    text = page({"produce": run(Section("produce", TURNS, (Target(HERALD, CPU, beside=FLOOR),)))})

    assert "## produce" in text
    assert f"| {FLOOR} | 100 /s | 100 to 100 | 15.0 | 10.0 to 20.0 | 1.00 | 1.00 |  |" in text
    assert "CPU 3.00 x floor: bare |" in text
    assert "Rounds: 2. a machine, 2 cores, Python 3.11, Linux, 2026-01-01, commit abc." in text


def test_readme_is_changed_between_its_marks_alone() -> None:
    readme = "before\n<!-- figures: made -->\nold\n<!-- end of figures -->\nafter\n"

    assert with_figures(readme, {}) == ("before\n<!-- figures: made -->\n<!-- end of figures -->\nafter\n")


def test_the_charts_in_the_repository_are_drawn_from_the_results_in_it() -> None:
    assert {file.name: file.read_text() for file in CHARTS.glob("*.svg")} == charts(runs())


def test_readmes_figures_are_those_of_the_results_in_the_repository() -> None:
    readme = README.read_text()

    assert "<!-- figures:" in readme
    assert readme == with_figures(readme, runs())
    assert PAGE.read_text() == page(runs())


def test_each_section_has_a_chart_of_its_own() -> None:
    sections = [section for run in runs().values() for section in run.sections]

    assert len({file_name(section) for section in sections}) == len(sections)


COMPARED = re.findall(
    r"^\| (?:produce|deliver), (CPU|p99)[^|]*, ([^|(,]+?)(?: \([^|]*\))? \| (\d\.\d\d)",
    COMPARISON.read_text(),
    re.MULTILINE,
)


@pytest.mark.parametrize(("what", "peer", "ratio"), COMPARED)
def test_the_comparisons_figures_are_those_of_the_results(what: str, peer: str, ratio: str) -> None:
    assert f"{what} {ratio} x {peer}" in PAGE.read_text()


def test_the_comparison_has_figures() -> None:
    assert len(COMPARED) == 6
