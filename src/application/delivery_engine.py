"""Reads a group's log and keeps its books; the dispatcher beside it sends. The rules are asked of neighbours.

One message, in order: `_fetch` → `Reception.take_in` → `Intake.take` → `Dispatcher.put` → `Lanes.take` →
`Channel.deliver` → `Judge.judge` → `Settlement.carry_out` → `Recorder.put` → `ShardState.finish` →
`Positions.commit`.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from application.bookkeeper import Bookkeeper
from application.burial import Burial
from application.channel import Channel
from application.circuit_breaker import CircuitBreaker
from application.counts import DeliveryCounts
from application.crew import Crew
from application.deadline import within
from application.delivery import Delivery
from application.delivery_snapshot import DeliverySnapshot
from application.discarding import Discarding
from application.dispatcher import Dispatcher, Parts
from application.engine_options import EngineOptions
from application.intake import Intake
from application.lanes import Lanes
from application.monitor import Monitor
from application.pace import Pace
from application.positions import Positions, line_of, note_rebalance
from application.reception import Reception
from application.settlement import Settlement
from application.shard_loader import ShardLoader
from application.shards import Shards, ShardState
from application.tick import Tick
from application.verdict import Judge
from application.wanted import Wanted
from application.watchdog import Watchdog
from domain.log import Assigned, Fetched, LogEvent, Lost, Overtaken, Revoking, Shard
from domain.ports import Clock, DeadLetters, DeliveryLedger, DiscardOrders, MessageLog, RecordDecoder
from domain.retry import Jitter, RetryPolicy
from domain.topic import Topic

logger = logging.getLogger("herald.engine")


class DeliveryEngine:
    """Delivers a group's messages until it is stopped. Runs once.

    `end_at_once` ends the process, for one that stood still for so long that nothing is its own any more.
    """

    def __init__(
        self,
        *,
        log: MessageLog,
        ledger: DeliveryLedger,
        orders: DiscardOrders,
        channel: Channel,
        decode: RecordDecoder,
        dead_letters: DeadLetters,
        clock: Clock,
        policy: RetryPolicy,
        jitter: Jitter,
        topics: Mapping[str, Topic],
        options: EngineOptions,
        counts: DeliveryCounts,
        end_at_once: Callable[[str], None],
        dispatching: Callable[[Parts, int, Callable[[], None]], Dispatcher] = Dispatcher,
    ) -> None:
        self.counts = counts
        self.breaker = CircuitBreaker(options.concurrency, jitter, options.breaker)
        kept = {name: 3600.0 * topic.retention_hours for name, topic in topics.items()}
        self.shards = Shards(options.limits, options.dedupe_messages, kept)
        self._group = channel.group
        self._log = log
        self._clock = clock
        self._options = options
        self._crew = Crew()
        self._tick = Tick(clock, options.tick_seconds, options.frozen_seconds, end_at_once)
        lanes = Lanes(options.concurrency)
        self._books = Bookkeeper(ledger, clock, self.shards, lanes, self._tick, self._wake, self._poll_again)
        self._settlement = Settlement(lanes, self._books, counts, clock)
        self._intake = Intake(decode, channel, clock, policy, topics)
        burial = Burial(dead_letters, clock, self._group, counts, self._tick)
        parts = self._parts(channel, lanes, Judge(self.breaker, policy, jitter), burial)
        self._dispatcher = dispatching(parts, options.concurrency, self._poll_again)
        self._reception = Reception(
            log, self.shards, self._intake, self._dispatcher, burial, self._books, counts
        )
        self._burials = self._reception.burials
        self._positions = Positions(log, clock, self.shards, counts, self._tick)
        self._discarding = Discarding(orders, self._group, clock, self.shards, self._obey, self._stop_reading)
        self._loader = ShardLoader(
            log, ledger, clock, self.shards, self._positions, topics, self._discarding.recall
        )
        watchdog = Watchdog(options.stalled_seconds)
        self._monitor = Monitor(log, clock, self.shards, self._positions, self._dispatcher, topics, watchdog)
        self._loading: dict[Shard, asyncio.Task[None]] = {}
        self._poll: asyncio.Future[LogEvent | None] | None = None
        self._read_for_orders = False

    def _parts(self, channel: Channel, lanes: Lanes, judge: Judge, burial: Burial) -> Parts:
        """What a try of a message needs."""
        return Parts(
            channel=channel,
            clock=self._clock,
            lanes=lanes,
            breaker=self.breaker,
            judge=judge,
            burial=burial,
            books=self._books,
            settlement=self._settlement,
            tick=self._tick,
            pace=Pace(self._options.most_per_second),
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Delivers until `stop`, then drains. Raises `StorageBroken`, `EngineStalled` and bugs."""
        async with self._crew as crew:
            crew.hire(self._tick.run())
            fetching = crew.hire(self._fetch())
            crew.hire(self._commit_regularly())
            crew.hire(self._measure_regularly())
            crew.hire(self._discarding.run(self._options.orders_seconds))
            self._books.recorder.start(crew)
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
        return self._monitor.snapshot(self._group, channel_up=not self.breaker.is_open)

    def trouble(self) -> str | None:
        """Why a shard is not read though it is ours, if that is so."""
        return self.shards.trouble()

    def stalled(self) -> bool:
        return self._monitor.stalled()

    # Reading ----------------------------------------------------------------------------------

    async def _fetch(self) -> None:
        try:
            while self._crew.employs_me():
                wanted = self._wanted()
                poll = self._log.next_event(wanted.shards, wanted.limit, self._options.poll_seconds)
                self._poll = asyncio.ensure_future(poll)
                await asyncio.wait({self._poll})
                if not self._poll.cancelled():  # otherwise `_poll_again` wants to ask for more
                    await self._handle(self._poll.result(), wanted)
        finally:
            self._poll_again()

    def _wanted(self) -> Wanted:
        """While the channel is down nothing is taken but, one at a time, a message to probe with.

        And what an order ends, for that needs no channel: in turn with the probes.
        """
        if not self.breaker.is_open:
            return Wanted(self.shards.wanted(), self._options.fetch_limit)
        probing = self._dispatcher.probe_wanted
        cut = frozenset(state.shard for state in self.shards if state.wants_what_is_cut)
        self._read_for_orders = bool(cut) and not (probing and self._read_for_orders)
        if self._read_for_orders:
            return Wanted(cut, self._options.fetch_limit, only_cut=True)
        return Wanted(self.shards.wanted(), 1, probing=True) if probing else Wanted(frozenset(), 1)

    def _poll_again(self) -> None:
        """More is wanted than the running poll was asked for: ask anew. A cancelled poll loses nothing."""
        if self._poll is not None:
            self._poll.cancel()

    async def _handle(self, event: LogEvent | None, wanted: Wanted) -> None:
        match event:
            case None:
                if wanted.probing and self._dispatcher.probe_wanted:
                    self._dispatcher.probe_with_held()
            case Fetched(records):
                if not wanted.only_cut:
                    self._dispatcher.probe_wanted = False
                self._reception.take_in(records, only_cut=wanted.only_cut)
            case Assigned(shards):
                self._adopt(shards)
            case Revoking(shards, seconds):
                await self._yield(shards, min(seconds, self._options.drain_seconds))
                await self._log.release(shards)
            case Lost(shards):
                await self._lose(shards)
            case Overtaken(shard, first):
                self._skip_overtaken(shard, first)

    def _obey(self, _: ShardState) -> None:
        """An order came: what waits ends at once, and the log is asked for the rest."""
        self._dispatcher.end_what_is_over()
        self._poll_again()

    def _stop_reading(self, states: Sequence[ShardState], reason: str) -> None:
        for state in states:
            state.trouble = reason
            logger.error("a shard is not read any more: %s", reason, extra=line_of(state, "shard_stopped"))
        self._let_go({state.shard for state in states})

    def _wake(self) -> None:
        self._dispatcher.wake()

    # Shards coming and going ------------------------------------------------------------------

    def _adopt(self, shards: AbstractSet[Shard]) -> None:
        note_rebalance("shards_assigned", shards)
        for shard in sorted(shards):
            self._loading[shard] = self._crew.hire(self._load(self.shards.add(shard)))

    async def _load(self, state: ShardState) -> None:
        begin = await self._loader.load(state)
        if state.yielding:
            return  # the cancel was lost: it may be another's by now, or loaded anew
        self._loading.pop(state.shard, None)
        if begin is not None:
            state.begin(begin.offset, begin.committed)
            self._reception.release(state, state.offsets.next)
            self._books.look_at_bound(state)
            self._log.begin(state.shard, state.offsets.next)
            self._poll_again()
            self._wake()

    async def _yield(self, shards: AbstractSet[Shard], seconds: float) -> None:
        """Takes nothing new of the shards, lets what is in flight end in time, commits, lets go."""
        self._let_go(shards)
        await within(self._clock, seconds, self._quiet(shards))
        # Also where all is quiet: a stop may have come while a rebalance was cutting off.
        for delivery in await self._cut_off(shards):
            self._settlement.cut_off(delivery)
        await within(self._clock, self._options.record_seconds, self._books.recorder.quiet(shards))
        await self._positions.commit()
        self._books.cut_off(shards)
        self.shards.remove(shards)
        note_rebalance("shards_released", shards)

    async def _lose(self, shards: AbstractSet[Shard]) -> None:
        """They may be another's already: nothing more of them is sent, noted or committed."""
        self._let_go(shards)
        self.shards.lose(shards)
        self._books.cut_off(shards)
        await self._cut_off(shards)
        note_rebalance("shards_lost", shards)

    async def _quiet(self, shards: AbstractSet[Shard]) -> None:
        await self._dispatcher.quiet(shards)
        await self._burials.quiet(shards)

    async def _cut_off(self, shards: AbstractSet[Shard]) -> list[Delivery]:
        """Those whose answer is not known."""
        unanswered = await self._dispatcher.cut_off(shards)
        await self._burials.cut_off(shards)
        return unanswered

    def _let_go(self, shards: AbstractSet[Shard]) -> None:
        for shard in sorted(shards):
            if (loading := self._loading.pop(shard, None)) is not None:
                loading.cancel()
        self.shards.begin_yielding(shards)
        self._dispatcher.drop(shards)

    def _skip_overtaken(self, shard: Shard, first: int) -> None:
        state = self.shards.get(shard)
        if state is not None:
            self._positions.skip_overtaken(state, first)
            self._reception.release(state, first)
            self._log.begin(shard, first)
            self._wake()

    # Regular work -----------------------------------------------------------------------------

    async def _commit_regularly(self) -> None:
        while True:
            await self._clock.sleep(self._options.commit_seconds)
            if await self._positions.commit():
                self._poll_again()

    async def _measure_regularly(self) -> None:
        while True:
            self._dispatcher.end_what_is_over()
            moved = self._reception.taken + self._dispatcher.settled + self._books.written
            await self._monitor.look(moved, may_read=not self.breaker.is_open)
            await self._clock.sleep(self._options.measure_seconds)
