"""When a child that ended is started again."""

from application.restart_policy import Restarts
from domain.retry import RetryPolicy


def restarts() -> Restarts:
    return Restarts(RetryPolicy(first_seconds=0.5, max_seconds=30.0), steady_seconds=60.0)


def pauses_of_one_that_ends_at_once(times: int, jitter: float) -> list[float]:
    child = restarts()
    pauses = []
    for _ in range(times):
        child.started(100.0)
        pauses.append(child.ended(100.0, jitter))
    return pauses


def test_pauses_double_up_to_half_a_minute() -> None:
    pauses = pauses_of_one_that_ends_at_once(9, jitter=1.0)

    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_each_pause_is_drawn_between_half_and_all_of_its_step() -> None:
    shortest = pauses_of_one_that_ends_at_once(3, jitter=0.0)
    middle = pauses_of_one_that_ends_at_once(3, jitter=0.5)

    assert shortest == [0.25, 0.5, 1.0]
    assert middle == [0.375, 0.75, 1.5]


def test_a_child_that_lived_a_minute_begins_with_the_first_pause_again() -> None:
    child = restarts()
    child.started(0.0)
    child.ended(1.0, 1.0)
    child.started(2.0)
    grown = child.ended(61.9, 1.0)
    child.started(100.0)
    after_a_minute = child.ended(160.0, 1.0)

    assert grown == 1.0
    assert after_a_minute == 0.5
