from domain.retry import RetryPolicy


def test_each_wait_lies_between_half_and_all_of_a_step_that_doubles() -> None:
    policy = RetryPolicy(first_seconds=1.0, max_seconds=10.0)

    assert [policy.wait(n, jitter=0.0) for n in (1, 2, 3, 4, 5)] == [0.5, 1.0, 2.0, 4.0, 5.0]
    assert [policy.wait(n, jitter=1.0) for n in (1, 2, 3, 4, 5)] == [1.0, 2.0, 4.0, 8.0, 10.0]


def test_a_very_long_row_of_failures_does_not_overflow() -> None:
    assert RetryPolicy().wait(1_000_000, jitter=1.0) == 3600.0


def test_fifty_attempts_take_about_twenty_eight_hours() -> None:
    policy = RetryPolicy()
    hours = sum(policy.wait(n, jitter=0.5) for n in range(1, policy.max_attempts)) / 3600

    assert 26 < hours < 30


def test_lost_answers_wait_one_then_ten_then_sixty_minutes() -> None:
    policy = RetryPolicy()

    assert [policy.uncertain_wait(n) for n in (1, 2, 3, 4)] == [60.0, 600.0, 3600.0, 3600.0]
