"""What becomes of a message after one try: the rules, apart from the tasks that carry them out."""

from dataclasses import dataclass

from application.circuit_breaker import CircuitBreaker
from application.delivery import Delivery
from domain.outcome import (
    ChannelDown,
    DeadLetterReason,
    Delivered,
    Outcome,
    Refused,
    TryAgain,
    Uncertain,
)
from domain.retry import Jitter, RetryPolicy


@dataclass(frozen=True, slots=True)
class Sent:
    """Finished: the provider has it."""

    provider_id: str


@dataclass(frozen=True, slots=True)
class Dead:
    """Finished once the dead letter is kept."""

    reason: DeadLetterReason
    error: str


@dataclass(frozen=True, slots=True)
class Later:
    """Tried again no sooner than `due` on the monotonic clock.

    `defer`: by then it will have failed for so long that it must not hold its shard's position.
    """

    due: float
    defer: bool = False


@dataclass(frozen=True, slots=True)
class Back:
    """Back to the head of its lane as if it had not been tried."""


Verdict = Sent | Dead | Later | Back


@dataclass(frozen=True, slots=True)
class Judge:
    """Teaches the breaker each outcome, counts the message's attempts, and says what follows."""

    breaker: CircuitBreaker
    policy: RetryPolicy
    jitter: Jitter

    def judge(self, delivery: Delivery, outcome: Outcome, now: float, *, probe: bool) -> Verdict:
        """The breaker's state before the outcome decides whose fault a failure is."""
        was_open = self.breaker.is_open
        refused_everything = self.breaker.refuses_everything
        key = delivery.lane or delivery
        self.breaker.note(outcome, key, now, probe=probe)
        match outcome:
            case Delivered(provider_id):
                return Sent(provider_id)
            case Refused(reason):
                if refused_everything and not probe:
                    return Back()
                delivery.attempts += 1
                return Dead(DeadLetterReason.REFUSED, reason)
            case TryAgain():
                return self._try_again(delivery, outcome, now, unspent=probe or was_open)
            case ChannelDown():
                return self._channel_down(delivery, outcome, now, was_open=was_open)
            case Uncertain(reason):
                return self._uncertain(delivery, reason, now)

    def _try_again(self, delivery: Delivery, outcome: TryAgain, now: float, *, unspent: bool) -> Verdict:
        if not unspent:
            delivery.attempts += 1
            if self.policy.is_spent(delivery.attempts):
                return Dead(DeadLetterReason.TOO_MANY_ATTEMPTS, outcome.reason)
        return self._later(delivery, now, outcome.after)

    def _channel_down(
        self, delivery: Delivery, outcome: ChannelDown, now: float, *, was_open: bool
    ) -> Verdict:
        """Not the message's fault, unless others go through while it fails like this again and again."""
        if was_open or self.breaker.is_open:
            return Back()
        breaker = self.breaker
        others_pass = (
            delivery.failed_at_opening == breaker.openings and breaker.successes > delivery.failed_at_success
        )
        delivery.failed_at_opening = breaker.openings
        delivery.failed_at_success = breaker.successes
        return self._try_again(
            delivery, TryAgain(outcome.reason, outcome.after), now, unspent=not others_pass
        )

    def _uncertain(self, delivery: Delivery, reason: str, now: float) -> Verdict:
        """Costs no attempt; but it may have reached the customer, so it is not sent often or soon."""
        delivery.uncertain += 1
        if self.policy.is_too_uncertain(delivery.uncertain):
            return Dead(DeadLetterReason.UNCERTAIN, reason)
        delivery.uncertain_until = now + self.policy.uncertain_wait(delivery.uncertain)
        return self._at(delivery, now, delivery.uncertain_until)

    def _later(self, delivery: Delivery, now: float, after: float) -> Later:
        delivery.failures += 1
        return self._at(delivery, now, now + self.policy.wait(delivery.failures, self.jitter(), after))

    def _at(self, delivery: Delivery, now: float, due: float) -> Later:
        """An outage in between is not the message's own failing."""
        if delivery.failing_at_opening != self.breaker.openings:
            delivery.failing_at_opening = self.breaker.openings
            delivery.failing_since = now
        failing = due - delivery.failing_since
        return Later(due, defer=not self.breaker.is_open and failing >= self.policy.defer_after_seconds)
