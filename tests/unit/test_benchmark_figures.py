from functools import partial

import pytest

from benchmarks.figures import CPU, P99, RATE, Measure, Section, Target, Turn, in_turns
from benchmarks.table import COLUMNS, not_shown, rows, target_text

FLOOR, HERALD, PEER = "floor: bare", "Herald on Kafka", "FastAPI"
COUNTED = Measure("instructions", "a message", exact=True)


def turn(rate: float, cpu_us: float) -> Turn:
    return Turn.counted(rate, 1.0, cpu_us * rate / 1e6)


def section(*targets: Target, peer: bool = True) -> Section:
    turns = {FLOOR: [turn(200, 10), turn(100, 20)], HERALD: [turn(100, 20), turn(100, 30)]}
    return Section("produce", {**turns, PEER: [turn(50, 80), turn(40, 100)]} if peer else turns, targets)


def cells(line: list[str]) -> dict[str, str]:
    """Without the two spreads, whose columns have one name."""
    return dict(zip(COLUMNS, line, strict=True))


def test_a_ratio_is_the_median_of_each_rounds_own() -> None:
    assert section().ratio(HERALD, FLOOR, CPU) == pytest.approx((2.0 + 1.5) / 2)
    assert section().ratio(HERALD, FLOOR, RATE) == pytest.approx((0.5 + 1.0) / 2)


def test_a_ratio_leaves_out_rounds_in_which_one_side_has_no_figure() -> None:
    turns = {FLOOR: [Turn({RATE: 2.0}), turn(1, 4)], HERALD: [turn(4, 9), turn(2, 8)]}

    assert Section("produce", turns).ratio(HERALD, FLOOR, CPU) == pytest.approx(2.0)


def test_a_line_has_the_figures_medians_and_their_ratios_to_the_floor() -> None:
    _, line, _ = rows(section())

    assert line == [
        "produce",
        HERALD,
        "100 /s",
        "100 to 100",
        "25.0",
        "20.0 to 30.0",
        "1.75",
        "0.75",
        "",
    ]


def test_a_target_says_in_words_whether_it_is_reached() -> None:
    target = Target(HERALD, CPU, must=0.28, aim=0.2, beside=PEER)

    assert (
        target_text(section(target), target)
        == "CPU 0.28 x FastAPI; at most 0.28: ok; aim at most 0.2: missed"
    )


def test_what_is_better_when_it_is_more_has_a_least_wanted() -> None:
    target = Target(HERALD, RATE, must=3, aim=1.9, beside=PEER)

    assert (
        target_text(section(target), target)
        == "rate 2.25 x FastAPI; at least 3: missed; aim at least 1.9: ok"
    )


def test_a_target_without_a_peer_is_about_the_figure_itself() -> None:
    target = Target(HERALD, CPU, must=30)

    assert target_text(section(target), target) == "CPU 25.0 us/message; at most 30: ok"


def test_a_second_target_has_a_line_of_its_own() -> None:
    targets = Target(HERALD, CPU, must=30), Target(HERALD, CPU, must=1, beside=PEER)
    _, first, second, _ = (cells(line) for line in rows(section(*targets)))

    assert first["targets"].startswith("CPU 25.0")
    assert second["what"] == ""
    assert second["targets"].startswith("CPU 0.28 x FastAPI")


def test_a_row_whose_peer_has_no_figure_in_the_run_is_not_shown() -> None:
    without = section(Target(HERALD, CPU, must=0.28, beside=PEER), peer=False)

    assert [cells(line)["what"] for line in rows(without)] == [FLOOR]
    assert not_shown(without) == ["produce, Herald on Kafka: no FastAPI"]


def test_figures_that_are_no_rate_have_their_name_and_unit() -> None:
    turns = {HERALD: [Turn({RATE: 1_000.0, P99: 3.2}), Turn({RATE: 1_000.0, P99: 3.4})]}
    first, second = (cells(line) for line in rows(Section("latency", turns)))

    assert (first["median"], first["CPU us/message"]) == ("1,000 /s", "-")
    assert (second["what"], second["median"]) == ("", "p99 3.30 ms")


def test_what_is_counted_is_compared_with_what_the_repository_holds() -> None:
    now, then = (Section("counts", {HERALD: [Turn({COUNTED: figure})]}) for figure in (1_010.0, 1_000.0))

    assert cells(rows(now, then)[0])["targets"] == "instructions +1.0% against the committed"
    assert cells(rows(now)[0])["targets"] == ""


def test_each_round_takes_each_once_and_begins_with_another() -> None:
    taken: list[str] = []

    def take(name: str, number: int) -> Turn:
        taken.append(f"{name}{number}")
        return turn(1, 1)

    in_turns({name: partial(take, name) for name in "ab"}, 2, lambda _: None)

    assert taken == ["b1", "a1", "a2", "b2"]
