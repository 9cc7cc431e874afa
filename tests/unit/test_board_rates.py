import pytest

from application.board_rates import rate_in, rate_out
from application.board_reading import Reading
from tests.board_parts import lag, reading, report


def finished(*readings: Reading) -> float | None:
    return rate_out(readings, "transactions", "email")


def test_a_topic_takes_in_what_its_partitions_grew_by() -> None:
    before = reading(0, lag(10), lag(11, group="sms"), lag(5, partition=1))
    after = reading(10, lag(20), lag(20, group="sms"), lag(16, partition=1))

    assert rate_in([before, after], "transactions") == pytest.approx((9 + 11) / 10)


def test_a_topic_that_was_made_anew_grew_by_nothing_when_it_began_at_0() -> None:
    readings = [reading(0, lag(1000)), reading(10, lag(5)), reading(20, lag(45))]

    assert rate_in(readings, "transactions") == pytest.approx(40 / 20)


def test_a_rate_is_not_known_from_one_reading_or_from_two_that_are_hardly_apart() -> None:
    readings = [reading(0, lag(10), reports=[]), reading(0.5, lag(90), reports=[])]

    assert rate_in(readings[:1], "transactions") is None
    assert rate_in(readings, "transactions") is None
    assert rate_in([readings[0], reading(10)], "transactions") is None
    assert finished(*readings) is None


def test_without_consumers_nothing_is_finished() -> None:
    assert finished(reading(0, reports=[]), reading(10, reports=[])) == 0.0


def test_what_a_process_finished_is_divided_by_the_time_between_its_words_and_not_by_the_reader_s() -> None:
    before = reading(0, reports=[report(sent=100, at=-4.9)])
    after = reading(10, reports=[report(sent=249, at=10.0)])

    assert finished(before, after) == pytest.approx(10.0)


def test_all_ends_count_and_tries_do_not() -> None:
    ends = {
        "sent": 10,
        "dead": 20,
        "expired": 30,
        "skipped": 40,
        "retried": 1000,
        "uncertain": 7,
        "repeated": 9,
    }
    before = reading(0, reports=[report(outcomes={})])
    after = reading(10, reports=[report(outcomes=ends, at=10)])

    assert finished(before, after) == pytest.approx(10.0)


def test_processes_are_added_up_and_those_of_other_groups_are_not() -> None:
    before = reading(0, reports=[report("a"), report("b"), report("c", group="sms")])
    after = reading(
        10, reports=[report("a", 10, at=10), report("b", 20, at=10), report("c", 99, at=10, group="sms")]
    )

    assert finished(before, after) == pytest.approx(3.0)


def test_a_process_that_is_new_finished_all_it_counts_meanwhile() -> None:
    before = reading(0, reports=[])
    after = reading(10, reports=[report("new", 50, started_at=4, at=9)])

    assert finished(before, after) == pytest.approx(5.0)


def test_one_that_was_only_not_seen_before_does_not_bring_its_whole_past() -> None:
    before = reading(0, reports=[])
    after = reading(10, reports=[report("old", 1_000_000, started_at=-9000, at=9)])

    assert finished(before, after) == 0.0


def test_one_that_is_gone_is_counted_as_far_as_it_was_seen() -> None:
    readings = [
        reading(0, reports=[report("gone", 100)]),
        reading(10, reports=[report("gone", 160, at=10)]),
        reading(20, reports=[]),
        reading(30, reports=[report("next", 90, started_at=12, at=30)]),
    ]

    assert finished(*readings) == pytest.approx((60 + 90) / 30)


def test_a_process_that_says_nothing_new_adds_nothing() -> None:
    same = report(sent=100)

    assert finished(reading(0, reports=[same]), reading(10, reports=[same])) == 0.0


def test_counts_that_go_back_are_no_negative_rate() -> None:
    before = reading(0, reports=[report(sent=100)])
    after = reading(10, reports=[report(sent=3, at=10)])

    assert finished(before, after) == 0.0


def test_a_moment_at_which_nothing_could_be_read_is_passed_over() -> None:
    readings = [
        reading(0, lag(0), reports=[report()]),
        reading(10),
        reading(20, lag(40), reports=[report(sent=20, at=20)]),
    ]

    assert rate_in(readings, "transactions") == pytest.approx(2.0)
    assert finished(*readings) == pytest.approx(1.0)
