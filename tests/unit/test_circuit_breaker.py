import pytest

from application.circuit_breaker import REFUSES_EVERYTHING, BreakerPolicy, CircuitBreaker
from domain.outcome import ChannelDown, Delivered, Outcome, Refused, TryAgain, Uncertain
from tests.engine_parts import jitter

DOWN = ChannelDown("connection refused")


def breaker(concurrency: int = 8, policy: BreakerPolicy | None = None) -> CircuitBreaker:
    return CircuitBreaker(concurrency, jitter, policy)


def note(subject: CircuitBreaker, *outcomes: Outcome, now: float = 0.0, probe: bool = False) -> None:
    for number, outcome in enumerate(outcomes):
        subject.note(outcome, f"key-{number}", now, probe=probe)


@pytest.mark.parametrize("failure", [DOWN, Uncertain("no answer")])
def test_three_channel_failures_in_a_row_open_it(failure: Outcome) -> None:
    subject = breaker()

    note(subject, failure, failure)
    assert not subject.is_open

    note(subject, failure)
    assert (subject.is_open, subject.openings) == (True, 1)


@pytest.mark.parametrize("answer", [Delivered(), TryAgain("full"), Refused("550")])
def test_any_answer_about_a_message_ends_the_row(answer: Outcome) -> None:
    subject = breaker()

    note(subject, DOWN, DOWN, answer, DOWN, DOWN)

    assert not subject.is_open


def test_wrong_credentials_open_it_at_once() -> None:
    subject = breaker()

    note(subject, ChannelDown("535", certain=True))

    assert (subject.is_open, subject.reason) == (True, "535")


@pytest.mark.parametrize("failure", [TryAgain("451"), Refused("550")])
def test_twenty_keys_failing_in_a_row_open_it(failure: Outcome) -> None:
    subject = breaker()

    note(subject, *[failure] * 19)
    assert not subject.is_open

    subject.note(failure, "one more", 0.0, probe=False)
    assert subject.refuses_everything
    assert subject.reason == REFUSES_EVERYTHING


def test_channel_failures_among_others_count_as_failing_keys_too() -> None:
    subject = breaker(policy=BreakerPolicy(failing_keys=4))

    note(subject, TryAgain("451"), DOWN, TryAgain("451"), DOWN)

    assert subject.refuses_everything


def test_one_key_failing_twenty_times_does_not_open_it() -> None:
    subject = breaker()

    for _ in range(50):
        subject.note(TryAgain("451"), "same", 0.0, probe=False)

    assert not subject.is_open


def test_pauses_between_probes_double_up_to_the_longest() -> None:
    subject = breaker()
    note(subject, DOWN, DOWN, DOWN, now=100.0)
    pauses = []

    for _ in range(7):
        pauses.append(round(subject.next_probe - 100.0))
        subject.note(DOWN, "p", 100.0, probe=True)

    assert pauses == [1, 2, 4, 8, 16, 30, 30]


def test_a_providers_wish_goes_before_its_own_pause_up_to_an_hour() -> None:
    subject = breaker()

    note(subject, DOWN, DOWN, ChannelDown("429", after=90.0))
    assert subject.next_probe == 90.0

    subject.note(ChannelDown("429", after=999_999.0), "late", 0.0, probe=False)
    assert subject.next_probe == 3600.0


def test_one_probe_at_a_time_and_only_when_its_time_has_come() -> None:
    subject = breaker()
    note(subject, DOWN, DOWN, DOWN)

    assert not subject.may_probe(0.5)
    assert subject.may_probe(1.0)

    subject.start_probe()
    assert not subject.may_probe(1.0)

    subject.end_probe()
    assert subject.may_probe(1.0)


@pytest.mark.parametrize("answer", [Delivered(), TryAgain("full"), Refused("550")])
def test_it_closes_on_any_answer_about_a_message(answer: Outcome) -> None:
    subject = breaker()
    note(subject, DOWN, DOWN, DOWN)

    subject.note(answer, "p", 5.0, probe=True)

    assert (subject.is_open, subject.limit) == (False, 1)


@pytest.mark.parametrize("answer", [TryAgain("full"), Refused("550")])
def test_when_everything_is_refused_only_a_delivery_closes_it(answer: Outcome) -> None:
    subject = breaker()
    note(subject, *[Refused("550")] * 20)

    subject.note(answer, "p", 5.0, probe=True)
    assert subject.is_open
    assert subject.next_probe == 7.0

    subject.note(Delivered(), "p", 9.0, probe=True)
    assert not subject.is_open


def test_after_closing_the_limit_doubles_with_each_full_round() -> None:
    subject = breaker(concurrency=6)
    note(subject, DOWN, DOWN, DOWN, Delivered())
    limits = []

    for _ in range(8):
        limits.append(subject.limit)
        subject.note(Delivered(), "k", 0.0, probe=False)

    assert limits == [1, 2, 2, 4, 4, 4, 4, 6]


def test_a_refusal_of_one_message_does_not_hold_the_ramp() -> None:
    subject = breaker(concurrency=4)
    note(subject, DOWN, DOWN, DOWN, Delivered())

    note(subject, Refused("550"))

    assert subject.limit == 2


def test_a_channel_failure_begins_the_round_of_the_ramp_anew() -> None:
    subject = breaker(concurrency=4)
    note(subject, DOWN, DOWN, DOWN, Delivered(), Delivered())
    assert subject.limit == 2

    note(subject, Delivered(), DOWN, Delivered())
    assert subject.limit == 2

    note(subject, Delivered())
    assert subject.limit == 4


def test_each_opening_begins_a_new_round_of_probes() -> None:
    subject = breaker()
    first = subject.probe_round

    note(subject, DOWN, DOWN, DOWN)

    assert subject.probe_round == first + 1
