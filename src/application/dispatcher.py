"""Sends what is held: takes heads of lanes, asks the judge what became of them, settles them."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from application.bookkeeper import Bookkeeper
from application.burial import Burial
from application.channel import Channel
from application.circuit_breaker import CircuitBreaker
from application.crew import Crew
from application.deadline import Alarm
from application.delivery import Delivery
from application.lanes import Lanes
from application.pace import Pace
from application.settlement import Settlement
from application.tick import Tick
from application.verdict import Dead, Judge
from domain.ledger import State
from domain.log import Shard
from domain.outcome import DeadLetterReason, Delivered, Outcome, TryAgain
from domain.ports import Clock

logger = logging.getLogger("herald.engine")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a dispatcher works with; the breaker and the books are the engine's too."""

    channel: Channel
    clock: Clock
    lanes: Lanes
    breaker: CircuitBreaker
    judge: Judge
    burial: Burial
    books: Bookkeeper
    settlement: Settlement
    tick: Tick
    pace: Pace


class Dispatcher:
    """A fixed number of workers, one for each message that may be in flight.

    Whoever finds something to send wakes the next before sending it; whoever finds nothing sets the alarm
    and parks. So one is woken at a time, and none while all that may start fits the one that is awake: a
    sender that answers at once needs one worker, a slow one gets all of them.

    `more_wanted` is called when a shard may be read again that was full, or was held by the breaker.
    """

    def __init__(self, parts: Parts, workers: int, more_wanted: Callable[[], None]) -> None:
        self._parts = parts
        self._lanes = parts.lanes
        self._breaker = parts.breaker
        self._clock = parts.clock
        self._pace = parts.pace
        self._workers = workers
        self._more_wanted = more_wanted
        self._alarm = Alarm(parts.clock, self.wake)
        self._in_flight: dict[Delivery, asyncio.Task[None]] = {}
        self._sending: dict[Delivery, None] = {}  # of those in flight, in order: not answered yet
        self._burying = 0  # of those in flight: the provider has answered them
        self._parked: deque[asyncio.Future[None]] = deque()
        self._is_waking = False  # one that was parked is about to look
        self._left = asyncio.Event()
        self._crew: Crew | None = None
        self.probe_wanted = False  # every held head had its turn: one more message to probe with
        self.settled = 0

    def start(self, crew: Crew) -> None:
        self._crew = crew
        for _ in range(self._workers):
            crew.hire(self._work(crew))

    def stop(self) -> None:
        self._alarm.cancel()

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    def put(self, delivery: Delivery) -> None:
        """Holds a message; `wake` must follow, once for many."""
        self._lanes.put(delivery)

    def drop(self, shards: AbstractSet[Shard]) -> None:
        """Forgets all of these shards that is not in flight."""
        self._lanes.drop(shards)

    async def quiet(self, shards: AbstractSet[Shard]) -> None:
        """Returns when nothing of these shards is in flight."""
        while any(delivery.shard.shard in shards for delivery in self._in_flight):
            self._left.clear()
            await self._left.wait()

    async def cut_off(self, shards: AbstractSet[Shard]) -> list[Delivery]:
        """Ends the sends of these shards; those without an answer. Cancelling one closes its connection."""
        cut = [task for delivery, task in self._in_flight.items() if delivery.shard.shard in shards]
        assert self._crew is not None  # noqa: S101 - `start` comes first
        for task in cut:
            self._crew.dismiss(task)
        await asyncio.gather(*cut, return_exceptions=True)
        for _ in cut:
            self._crew.hire(self._work(self._crew))
        unanswered = [delivery for delivery in self._sending if delivery.shard.shard in shards]
        for delivery in unanswered:
            del self._sending[delivery]
        return unanswered

    def wake(self) -> None:
        """More may start than before: a parked worker looks, and after it as many as find something."""
        while self._parked and not self._is_waking:
            waiter = self._parked.popleft()
            if not waiter.done():
                waiter.set_result(None)
                self._is_waking = True

    def probe_with_held(self) -> None:
        """The log has no other message to probe with: those that are held have their turn again."""
        self.probe_wanted = False
        self._breaker.start_round()
        self.wake()

    def could_start(self) -> bool:
        """Whether something held could be sent now: if nothing is, that is strange."""
        closed, now = not self._breaker.is_open, self._clock.monotonic()
        may = closed and self._free() > 0 and self._pace.ready_at(now) <= now
        return may and self._lanes.could_start(now)

    def end_what_is_over(self) -> None:
        """Ends what waits though it must not be sent: for a retry, behind another one, or for the channel."""
        over = [delivery for delivery in self._lanes.held() if self._is_over(delivery)]
        for delivery in over:
            if delivery not in self._in_flight:
                self._end(delivery)
        if over:
            self._lanes.forget_ended()
            self.wake()

    def _free(self) -> int:
        """How many more may be sent now."""
        if self._is_behind():
            return 0
        return min(self._breaker.limit + self._burying, self._workers) - len(self._in_flight)

    def _is_behind(self) -> bool:
        """As many as may be in flight may be answered and not recorded: a crash repeats them."""
        return self._parts.books.recorder.unrecorded >= self._workers

    async def _work(self, crew: Crew) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine always runs in a task
        while crew.employs(task):
            delivery = self._next()
            if delivery is None:
                await self._park()
                continue
            if self._lanes.has_waiting:
                self.wake()
            await self._deliver(delivery, task)

    def _next(self) -> Delivery | None:
        now = self._clock.monotonic()
        if self._pace.ready_at(now) > now:
            return None
        delivery = self._next_probe(now) if self._breaker.is_open else self._next_head(now)
        if delivery is not None and self._pace.is_capped:
            self._pace.take(now)
        return delivery

    def _next_head(self, now: float) -> Delivery | None:
        return self._lanes.take(now) if self._free() > 0 else None

    def _next_probe(self, now: float) -> Delivery | None:
        if not self._breaker.may_probe(now) or self._is_behind():
            return None
        delivery = self._lanes.take_probe(now, self._breaker.probe_round)
        if delivery is not None:
            self._breaker.start_probe()
            delivery.is_probe = True
        elif not self.probe_wanted:
            self.probe_wanted = True
            self._more_wanted()
        return delivery

    async def _park(self) -> None:
        self._set_alarm()
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._parked.append(waiter)
        await waiter
        self._is_waking = False

    def _set_alarm(self) -> None:
        """For the next moment at which something may start only because time has passed."""
        now = self._clock.monotonic()
        due = self._pace.ready_at(now)
        if due <= now:
            due = self._breaker.next_probe if self._breaker.is_open else self._lanes.next_due() or now
        if due > now:
            self._alarm.set(due)

    async def _deliver(self, delivery: Delivery, task: asyncio.Task[None]) -> None:
        self._in_flight[delivery] = task
        try:
            self._parts.tick.check()
            if self._is_over(delivery):
                self._pace.give_back()
                self._end(delivery)
            else:
                await self._settle(delivery, await self._try(delivery))
        finally:
            del self._in_flight[delivery]
            self._lanes.forget(delivery)
            self._end_probe(delivery)
            self._left.set()

    def _is_over(self, delivery: Delivery) -> bool:
        """Whether it must not be sent any more."""
        return self._is_discarded(delivery) or self._is_expired(delivery)

    def _is_expired(self, delivery: Delivery) -> bool:
        return delivery.expires_at is not None and self._clock.now() >= delivery.expires_at

    def _end(self, delivery: Delivery) -> None:
        self.settled += 1
        self._parts.settlement.expire(delivery, by_order=self._is_discarded(delivery))

    def _is_discarded(self, delivery: Delivery) -> bool:
        record, cuts = delivery.record, delivery.shard.cuts
        return record.offset < cuts.upto and cuts.takes(record.offset, record.timestamp)

    async def _try(self, delivery: Delivery) -> Outcome:
        self._sending[delivery] = None
        try:
            outcome = await self._parts.channel.deliver(delivery.message, probe=delivery.is_probe)
        except Exception:
            # Our bug. One message must not stop all others, nor be lost: it is tried again and ends
            # as a dead letter.
            logger.exception("delivering failed by a bug in Herald", extra={"action": "delivery_bug"})
            outcome = TryAgain("a bug in Herald; its log has the details")
        self._sending.pop(delivery, None)
        return outcome

    async def _settle(self, delivery: Delivery, outcome: Outcome) -> None:
        self.settled += 1
        was_open = self._breaker.is_open
        before = (delivery.attempts, delivery.uncertain)
        now = self._clock.monotonic()
        verdict = self._parts.judge.judge(delivery, outcome, now, probe=delivery.is_probe)
        self._end_probe(delivery)
        self._note_breaker(was_open=was_open)
        if isinstance(verdict, Dead):
            await self._bury(delivery, verdict)
        reason = "" if isinstance(outcome, Delivered) else outcome.reason
        self._parts.settlement.carry_out(delivery, verdict, before, reason)
        if self._is_discarded(delivery) and not (delivery.is_ended or delivery.shard.yielding):
            self._end(delivery)  # an order came while it was being sent, and it would wait for its next try

    async def _bury(self, delivery: Delivery, dead: Dead) -> None:
        """May take long: what the provider's answer allows to others does not wait for it."""
        if dead.reason is DeadLetterReason.UNCERTAIN:
            # Who takes over before the letter is kept must not send it once more.
            self._parts.books.tried(delivery, State.UNCERTAIN, dead.error)
        if self._crew is None or not self._crew.employs_me():
            # Its library lost the cancel: a letter that cannot be kept would hold the drain for ever.
            raise asyncio.CancelledError
        self._burying += 1
        self.wake()
        try:
            await self._parts.burial.bury(delivery.record, dead, delivery.attempts)
        finally:
            self._burying -= 1

    def _end_probe(self, delivery: Delivery) -> None:
        if delivery.is_probe:
            delivery.is_probe = False
            self._breaker.end_probe()

    def _note_breaker(self, *, was_open: bool) -> None:
        breaker = self._breaker
        if breaker.is_open and not was_open:
            logger.warning("the channel is down: %s", breaker.reason, extra={"action": "channel_down"})
            self._more_wanted()  # less, in fact: the running poll must not bring a full batch
        elif was_open and not breaker.is_open:
            logger.info("the channel is up", extra={"action": "channel_up"})
            self.probe_wanted = False
            self._more_wanted()
