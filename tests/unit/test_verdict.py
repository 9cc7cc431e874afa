import pytest

from application.circuit_breaker import BreakerPolicy, CircuitBreaker
from application.verdict import Back, Dead, Judge, Later, Sent
from domain.outcome import (
    ChannelDown,
    DeadLetterReason,
    Delivered,
    Outcome,
    Refused,
    TryAgain,
    Uncertain,
)
from domain.retry import RetryPolicy
from tests.engine_parts import delivery, jitter

DOWN = ChannelDown("connection refused")


def judge(policy: RetryPolicy | None = None, breaker_policy: BreakerPolicy | None = None) -> Judge:
    return Judge(CircuitBreaker(8, jitter, breaker_policy), policy or RetryPolicy(), jitter)


def open_breaker(subject: Judge, failure: Outcome = DOWN) -> None:
    for number in range(20):
        subject.breaker.note(failure, number, 0.0, probe=False)


def test_what_is_delivered_is_finished() -> None:
    assert judge().judge(delivery(0), Delivered("250 id"), 0.0, probe=False) == Sent("250 id")


def test_what_is_refused_is_dead_at_once_after_one_attempt() -> None:
    one = delivery(0)

    verdict = judge().judge(one, Refused("550"), 0.0, probe=False)

    assert verdict == Dead(DeadLetterReason.REFUSED, "550")
    assert one.attempts == 1


def test_waits_double_and_a_providers_wish_is_kept() -> None:
    subject, one = judge(), delivery(0)

    dues = [subject.judge(one, TryAgain("451"), 0.0, probe=False) for _ in range(4)]
    assert [round(due.due, 3) for due in dues if isinstance(due, Later)] == [1.0, 2.0, 4.0, 8.0]

    verdict = subject.judge(one, TryAgain("451", after=300.0), 0.0, probe=False)
    assert verdict == Later(300.0, defer=True)
    assert one.attempts == 5


def test_the_last_attempt_makes_it_dead() -> None:
    subject, one = judge(RetryPolicy(max_attempts=2)), delivery(0)

    subject.judge(one, TryAgain("451"), 0.0, probe=False)
    verdict = subject.judge(one, TryAgain("452 full"), 0.0, probe=False)

    assert verdict == Dead(DeadLetterReason.TOO_MANY_ATTEMPTS, "452 full")


def test_no_lost_answer_is_risked_twice_when_the_settings_say_never() -> None:
    subject = judge(RetryPolicy(max_uncertain=0))

    verdict = subject.judge(delivery(0), Uncertain("hung up"), 0.0, probe=False)

    assert verdict == Dead(DeadLetterReason.UNCERTAIN, "hung up")


def test_a_failing_channel_costs_no_attempt() -> None:
    subject, one = judge(), delivery(0)

    verdicts = [subject.judge(one, DOWN, 0.0, probe=False) for _ in range(4)]

    assert [type(verdict) for verdict in verdicts] == [Later, Later, Back, Back]
    assert one.attempts == 0


def test_a_failing_channel_costs_an_attempt_if_others_went_through_since_it_last_failed() -> None:
    subject, one = judge(), delivery(0)

    for _ in range(3):
        subject.judge(one, DOWN, 0.0, probe=False)
        subject.judge(delivery(1), Delivered(), 0.0, probe=False)

    assert one.attempts == 2


def test_an_outage_in_between_makes_it_the_channels_fault_again() -> None:
    subject, one = judge(), delivery(0)
    subject.judge(one, DOWN, 0.0, probe=False)
    open_breaker(subject)
    subject.judge(delivery(1), Delivered(), 0.0, probe=True)

    subject.judge(one, DOWN, 0.0, probe=False)

    assert one.attempts == 0


@pytest.mark.parametrize("outcome", [DOWN, TryAgain("451")])
def test_a_probe_that_fails_costs_no_attempt(outcome: Outcome) -> None:
    subject, one = judge(), delivery(0)
    open_breaker(subject)

    subject.judge(one, outcome, 0.0, probe=True)

    assert one.attempts == 0


def test_what_was_in_flight_when_everything_was_refused_goes_back() -> None:
    subject = judge()
    open_breaker(subject, Refused("550"))

    assert subject.judge(delivery(0), Refused("550"), 0.0, probe=False) == Back()


def test_a_probe_that_is_refused_stays_refused() -> None:
    subject = judge()
    open_breaker(subject, Refused("550"))

    verdict = subject.judge(delivery(0), Refused("550"), 0.0, probe=True)

    assert verdict == Dead(DeadLetterReason.REFUSED, "550")


def test_a_probe_without_an_answer_counts_as_uncertain() -> None:
    subject, one = judge(), delivery(0)
    open_breaker(subject)

    verdict = subject.judge(one, Uncertain("hung up"), 10.0, probe=True)

    assert verdict == Later(70.0)
    assert (one.uncertain, one.attempts) == (1, 0)
