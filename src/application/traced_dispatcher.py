"""Sends as `Dispatcher` does, each try a step of its message's trace."""

import asyncio
from collections.abc import Callable

from application.delivery import Delivery
from application.dispatcher import Dispatcher, Parts
from application.verdict import Dead
from domain.outcome import Delivered, Outcome
from domain.tracing import Tracer, TryResult

Tries = tuple[int, int]  # attempts and lost answers


class TracedDispatcher(Dispatcher):
    """A class of its own, so that who does not trace pays nothing for it."""

    def __init__(self, tracer: Tracer, parts: Parts, workers: int, more_wanted: Callable[[], None]) -> None:
        super().__init__(parts, workers, more_wanted)
        self._tracer = tracer
        self._group = parts.channel.group
        self._outcomes: dict[Delivery, Outcome] = {}
        self._deaths: dict[Delivery, Dead] = {}

    async def _deliver(self, delivery: Delivery, task: asyncio.Task[None]) -> None:
        before = (delivery.attempts, delivery.uncertain)
        with self._tracer.trying(self._group, delivery.record, delivery.message.request_id) as span:
            try:
                await super()._deliver(delivery, task)
            finally:
                outcome = self._outcomes.pop(delivery, None)
                dead = self._deaths.pop(delivery, None)
            span.came_to(_result(delivery, before, outcome, dead))

    async def _try(self, delivery: Delivery) -> Outcome:
        with self._tracer.sending(self._group, probe=delivery.is_probe) as span:
            outcome = await super()._try(delivery)
            span.answered(outcome)
        self._outcomes[delivery] = outcome
        return outcome

    async def _bury(self, delivery: Delivery, dead: Dead) -> None:
        self._deaths[delivery] = dead
        await super()._bury(delivery, dead)


def _result(delivery: Delivery, before: Tries, outcome: Outcome | None, dead: Dead | None) -> TryResult:
    """Told from what has become of the delivery: the rules themselves know nothing of traces."""
    attempts, uncertain = before
    if isinstance(outcome, Delivered):
        state = "sent"
    elif dead is not None:
        state = "dead"
    elif delivery.is_ended:
        state = "expired"
    elif delivery.uncertain > uncertain:
        state = "uncertain"
    else:
        state = "retried" if delivery.attempts > attempts else "given-back"
    return TryResult(
        state=state,
        # The one that succeeds is counted nowhere else.
        attempts=delivery.attempts + (state == "sent"),
        uncertain_attempts=delivery.uncertain,
        reason=str(dead.reason) if dead is not None else "",
    )
