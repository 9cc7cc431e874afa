"""Reads a group's log and keeps its books; the dispatcher beside it sends. The rules are asked of neighbours.

One message, in order: `_fetch` → `_take_in` → `Intake.take` → `Dispatcher.put` → `Lanes.take` →
`Channel.deliver` → `Judge.judge` → `Dispatcher._settle` → `ShardState.finish` → `Positions.commit`.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from application.burial import Burial
from application.burial_queue import BurialQueue
from application.channel import Channel
from application.circuit_breaker import CircuitBreaker
from application.counts import DeliveryCounts
from application.crew import Crew
from application.deadline import within
from application.delivery import Delivery
from application.delivery_snapshot import DeliverySnapshot
from application.dispatcher import Dispatcher, Parts
from application.intake import Intake, Unsendable
from application.lanes import Lanes
from application.positions import Positions
from application.shards import HoldingLimits, Shards, ShardState
from application.verdict import Judge
from application.watchdog import Watchdog
from domain.errors import HeraldError
from domain.log import Assigned, Fetched, LogEvent, Lost, Overtaken, Record, Revoking, Shard
from domain.ports import Clock, DeadLetters, MessageLog, RecordDecoder
from domain.retry import Jitter, RetryPolicy
from domain.topic import Start

logger = logging.getLogger("herald.engine")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """Numbers of one engine; times in seconds."""

    concurrency: int = 64
    drain_seconds: float = 20.0
    commit_seconds: float = 1.0
    poll_seconds: float = 1.0
    measure_seconds: float = 5.0
    stalled_seconds: float = 60.0
    fetch_limit: int = 500
    limits: HoldingLimits = field(default_factory=HoldingLimits)


class EngineStalled(HeraldError):
    """The log answers and there is work, but nothing moves: the process must be started anew."""


class DeliveryEngine:
    """Delivers a group's messages until it is stopped. Runs once."""

    def __init__(
        self,
        *,
        log: MessageLog,
        channel: Channel,
        decode: RecordDecoder,
        dead_letters: DeadLetters,
        clock: Clock,
        policy: RetryPolicy,
        jitter: Jitter,
        starts: Mapping[str, Start],
        options: EngineOptions,
        counts: DeliveryCounts,
    ) -> None:
        self.counts = counts
        self.breaker = CircuitBreaker(options.concurrency, jitter)
        self.shards = Shards(options.limits)
        self._group = channel.group
        self._log = log
        self._clock = clock
        self._options = options
        self._intake = Intake(decode, channel)
        burial = Burial(dead_letters, clock, self._group, counts)
        self._burials = BurialQueue(burial, self._note_buried)
        self._positions = Positions(log, clock, self.shards, starts, counts)
        parts = Parts(
            channel=channel,
            clock=clock,
            lanes=Lanes(options.concurrency),
            breaker=self.breaker,
            judge=Judge(self.breaker, policy, jitter),
            shards=self.shards,
            burial=burial,
            counts=counts,
        )
        self._dispatcher = Dispatcher(parts, options.concurrency, self._poll_again)
        self._watchdog = Watchdog(options.stalled_seconds)
        self._loading: dict[Shard, asyncio.Task[None]] = {}
        self._poll: asyncio.Future[LogEvent | None] | None = None
        self._moved = 0
        self._crew = Crew()

    async def run(self, stop: asyncio.Event) -> None:
        """Delivers until `stop`, then drains. Raises `StorageBroken`, `EngineStalled` and bugs."""
        async with self._crew as crew:
            fetching = crew.hire(self._fetch())
            crew.hire(self._commit_regularly())
            crew.hire(self._measure_regularly())
            self._burials.start(crew)
            self._dispatcher.start(crew)
            await stop.wait()
            crew.dismiss(fetching)
            await self._yield({state.shard for state in self.shards}, self._options.drain_seconds)
            self._dispatcher.stop()

    @property
    def in_flight(self) -> int:
        return self._dispatcher.in_flight

    def snapshot(self) -> DeliverySnapshot:
        """How it stands now; the log's ends are a few seconds old."""
        return DeliverySnapshot(
            group=self._group,
            in_flight=self.in_flight,
            channel_up=not self.breaker.is_open,
            lags=self.shards.lags(),
            oldest_unfinished=self.shards.oldest_unfinished(self._clock.now()),
        )

    def trouble(self) -> str | None:
        """Why a shard is not read though it is ours, if that is so: a person has to look."""
        troubles = (f"{s.shard.topic}-{s.shard.partition}: {s.trouble}" for s in self.shards if s.trouble)
        return next(troubles, None)

    def stalled(self) -> bool:
        return self._watchdog.stalled(self._clock.monotonic())

    # Reading ----------------------------------------------------------------------------------

    async def _fetch(self) -> None:
        try:
            while self._crew.employs_me():
                probing = self._dispatcher.probe_wanted
                poll = self._log.next_event(*self._wanted(), self._options.poll_seconds)
                self._poll = asyncio.ensure_future(poll)
                await asyncio.wait({self._poll})
                if not self._poll.cancelled():  # otherwise `_poll_again` wants to ask for more
                    await self._handle(self._poll.result(), probing=probing)
        finally:
            self._poll_again()

    def _wanted(self) -> tuple[AbstractSet[Shard], int]:
        """While the channel is down nothing is taken but, one at a time, a message to probe with."""
        if not self.breaker.is_open:
            return self.shards.wanted(), self._options.fetch_limit
        return (self.shards.wanted(), 1) if self._dispatcher.probe_wanted else (frozenset(), 1)

    def _poll_again(self) -> None:
        """More is wanted than the running poll was asked for: ask anew. A cancelled poll loses nothing."""
        if self._poll is not None:
            self._poll.cancel()

    async def _handle(self, event: LogEvent | None, *, probing: bool) -> None:
        """`probing`: the log was asked for a message to probe with, if any shard may take one."""
        match event:
            case None:
                if probing and self._dispatcher.probe_wanted:
                    self._dispatcher.probe_with_held()
            case Fetched(records):
                self._take_in(records)
            case Assigned(shards):
                self._adopt(shards)
            case Revoking(shards, seconds):
                await self._yield(shards, min(seconds, self._options.drain_seconds))
                await self._log.release(shards)
            case Lost(shards):
                await self._lose(shards)
            case Overtaken(shard, first):
                self._skip_overtaken(shard, first)

    def _take_in(self, records: Sequence[Record]) -> None:
        self._dispatcher.probe_wanted = False
        taking: set[ShardState] = set()
        for record in records:
            state = self.shards.get(record.shard)
            if state is not None and not state.yielding:
                self._take_in_one(record, state)
                taking.add(state)
        for state in taking:
            self.shards.fill(state)
        self._moved += 1
        self._dispatcher.wake()

    def _take_in_one(self, record: Record, state: ShardState) -> None:
        taken = self._intake.take(record, state)
        if isinstance(taken, Delivery):
            self._dispatcher.put(taken)
        elif isinstance(taken, Unsendable):
            self._burials.put(taken)
        else:
            self.counts.deliveries[record.shard.topic, "skipped"] += 1

    def _note_buried(self, unsendable: Unsendable) -> None:
        state = unsendable.shard
        self.counts.deliveries[state.shard.topic, "dead"] += 1
        state.finish(unsendable.record.offset, unsendable.size)
        self._moved += 1
        if self.shards.drained(state):
            self._poll_again()

    # Shards coming and going ------------------------------------------------------------------

    def _adopt(self, shards: AbstractSet[Shard]) -> None:
        _note_rebalance("shards_assigned", shards)
        for shard in shards:
            self._loading[shard] = self._crew.hire(self._load(self.shards.add(shard)))

    async def _load(self, state: ShardState) -> None:
        await self._positions.load(state)
        self._loading.pop(state.shard, None)
        self._poll_again()

    async def _yield(self, shards: AbstractSet[Shard], seconds: float) -> None:
        """Takes nothing new of the shards, lets what is in flight end in time, commits, lets go."""
        self._let_go(shards)
        if not await within(self._clock, seconds, self._quiet(shards)):
            await self._cut_off(shards)
        await self._positions.commit()
        self.shards.remove(shards)
        _note_rebalance("shards_released", shards)

    async def _lose(self, shards: AbstractSet[Shard]) -> None:
        """They may be another's already: nothing more of them is sent or committed."""
        self._let_go(shards)
        self.shards.remove(shards)
        await self._cut_off(shards)
        _note_rebalance("shards_lost", shards)

    async def _quiet(self, shards: AbstractSet[Shard]) -> None:
        await self._dispatcher.quiet(shards)
        await self._burials.quiet(shards)

    async def _cut_off(self, shards: AbstractSet[Shard]) -> None:
        await self._dispatcher.cut_off(shards)
        await self._burials.cut_off(shards)

    def _let_go(self, shards: AbstractSet[Shard]) -> None:
        for shard in shards:
            if (loading := self._loading.pop(shard, None)) is not None:
                loading.cancel()
        self.shards.begin_yielding(shards)
        self._dispatcher.drop(shards)

    def _skip_overtaken(self, shard: Shard, first: int) -> None:
        state = self.shards.get(shard)
        if state is not None:
            self._positions.note_overtaken(state, max(0, first - state.offsets.next))
            state.offsets.skip_to(first)
            self._log.begin(shard, first)

    # Regular work -----------------------------------------------------------------------------

    async def _commit_regularly(self) -> None:
        while True:
            await self._clock.sleep(self._options.commit_seconds)
            await self._positions.commit()

    async def _measure_regularly(self) -> None:
        while True:
            answered = await self._positions.measure()
            moved = self._moved + self._dispatcher.settled
            self._watchdog.look(
                self._clock.monotonic(), moved, has_work=answered and self._dispatcher.could_start()
            )
            if self.stalled():
                raise EngineStalled("nothing moved for a minute though there was work; starting anew")
            await self._clock.sleep(self._options.measure_seconds)


def _note_rebalance(action: str, shards: AbstractSet[Shard]) -> None:
    names = sorted(f"{shard.topic}-{shard.partition}" for shard in shards)
    logger.info("rebalance: %s", action, extra={"action": action, "shards": names})
