"""Carries out a verdict: the lane moves on, the books are kept, the counts grow."""

from dataclasses import dataclass

from application.bookkeeper import Bookkeeper
from application.counts import DeliveryCounts
from application.delivery import Delivery
from application.lanes import Lanes
from application.verdict import Back, Dead, Later, Sent, Verdict
from domain.discard import DISCARDED
from domain.ledger import State
from domain.ports import Clock

Tries = tuple[int, int]  # attempts and lost answers


@dataclass(frozen=True, slots=True)
class Settlement:
    """The next of a key may start once the one before it is answered; the commit waits for the note of it."""

    lanes: Lanes
    books: Bookkeeper
    counts: DeliveryCounts
    clock: Clock

    def carry_out(self, delivery: Delivery, verdict: Verdict, before: Tries, reason: str) -> None:
        """`before`: its tries before this one. `reason`: what a failure was about. A dead letter is kept."""
        match verdict:
            case Sent(provider_id):
                age = max(0.0, self.clock.now() - delivery.record.timestamp)
                self.counts.age(delivery.shard.shard.topic, age)
                self._end(delivery, State.SENT, "", provider_id)
            case Dead():
                self._end(delivery, State.DEAD, str(verdict.reason))
            case Later():
                self._put_off(delivery, verdict, before, reason)
            case Back():
                if not delivery.shard.yielding:
                    self._give_back(delivery)

    def expire(self, delivery: Delivery, *, by_order: bool = False) -> None:
        """Its time is over before it was sent, or an order says that it must not be."""
        delivery.shard.cuts.ended += by_order
        self._end(delivery, State.EXPIRED, DISCARDED if by_order else "")

    def cut_off(self, delivery: Delivery) -> None:
        """The wait for its answer was ended: the provider may have taken it."""
        delivery.uncertain += 1
        self.books.tried(delivery, State.UNCERTAIN, "the wait for its answer was cut off")

    def _end(self, delivery: Delivery, state: State, reason: str = "", provider_id: str = "") -> None:
        self._count(delivery, str(state))
        self.lanes.finish(delivery)
        self.books.end(delivery, state, reason, provider_id)

    def _put_off(self, delivery: Delivery, later: Later, before: Tries, reason: str) -> None:
        state = State.UNCERTAIN if delivery.uncertain > before[1] else State.RETRYING
        self._count(delivery, "uncertain" if state is State.UNCERTAIN else "retried")
        if (delivery.attempts, delivery.uncertain) != before:
            self.books.tried(delivery, state, reason)
        if delivery.shard.yielding:
            return
        self.lanes.retry(delivery, later.due)
        if later.defer or delivery.is_deferred:
            self.books.defer(delivery)

    def _give_back(self, delivery: Delivery) -> None:
        """One that was a probe before its time goes on waiting: an outage must not hurry its attempts."""
        if delivery.due > self.clock.monotonic():
            self.lanes.retry(delivery, delivery.due)
        else:
            self.lanes.give_back(delivery)

    def _count(self, delivery: Delivery, outcome: str) -> None:
        self.counts.deliveries[delivery.shard.shard.topic, outcome] += 1
