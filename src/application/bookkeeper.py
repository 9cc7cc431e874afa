"""What is noted of each message, and what follows once the note is safe."""

import logging
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet

from application.delivery import Delivery
from application.intake import Discarded, Unsendable, Untried
from application.lanes import Lanes
from application.positions import line_of
from application.recorder import Recorder
from application.shards import Shards, ShardState
from application.tick import Tick
from domain.discard import DISCARDED
from domain.ledger import Deferral, LedgerRecord, State, Tombstone, Written, digest_of
from domain.log import Record, Shard
from domain.ports import Clock, DeliveryLedger

REASON_LIMIT = 200

logger = logging.getLogger("herald.ledger")


class Bookkeeper:
    """The order of its writes is what a crash between any two of them depends on.

    A message's end is noted before its deferral gets its tombstone; its offset counts as finished, so that
    the position may pass it, once either its end or its deferral is safe.
    """

    def __init__(
        self,
        ledger: DeliveryLedger,
        clock: Clock,
        shards: Shards,
        lanes: Lanes,
        tick: Tick,
        freed: Callable[[], None],
        more_wanted: Callable[[], None],
    ) -> None:
        self.recorder = Recorder(ledger, clock, tick, self._on_written)
        self._clock = clock
        self._shards = shards
        self._lanes = lanes
        self._freed = freed
        self._more_wanted = more_wanted
        self.written = 0

    def end(self, delivery: Delivery, state: State, reason: str = "", provider_id: str = "") -> None:
        """The message is finished. Unless it was sent, its id is free at once: its letter may be put back."""
        delivery.is_ended = True
        if state is not State.SENT:
            delivery.shard.close_id(delivery.message.request_id, delivery.offset)
        self.recorder.put(delivery.shard, self._record(delivery, state, reason, provider_id))

    def end_unsendable(self, unsendable: Unsendable) -> None:
        """Its dead letter is kept."""
        self._end_untried(unsendable, State.DEAD, str(unsendable.dead.reason))

    def end_discarded(self, discarded: Discarded) -> None:
        """An order says so, and it was never opened."""
        self._end_untried(discarded, State.EXPIRED, DISCARDED)

    def _end_untried(self, ended: Untried, end: State, reason: str) -> None:
        state = ended.shard
        state.close_id(ended.request_id, ended.offset)
        self.recorder.put(
            state,
            LedgerRecord(
                offset=ended.offset,
                request_id=ended.request_id,
                digest=digest_of(ended.record.value),
                state=end,
                attempts=ended.attempts,
                uncertain=ended.uncertain,
                reason=reason,
                low=state.offsets.safe,
                at=self._clock.now(),
            ),
        )

    def tried(self, delivery: Delivery, state: State, reason: str) -> None:
        """Its attempts changed, and it stays open."""
        self.recorder.put(delivery.shard, self._record(delivery, state, reason, ""))

    def defer(self, delivery: Delivery) -> None:
        """Keeps it apart with all that wait behind it; one that is kept already gets a newer note.

        Behind one that is kept there may be some that found no room when they were taken.
        """
        if delivery.is_deferred:
            self._put(delivery)
        for mate in self._lanes.lane_of(delivery):
            if not mate.is_deferred and not mate.is_ended:
                if not self.look_at_bound(mate.shard):
                    return
                self._put(mate)
        self.look_at_bound(delivery.shard)

    def follow(self, delivery: Delivery) -> None:
        """A message just taken is kept apart too, if one before it in its lane is."""
        if delivery.is_deferred or not self._lanes.behind_deferred(delivery):
            return
        if self.look_at_bound(delivery.shard):
            self._put(delivery)
            self.look_at_bound(delivery.shard)

    def drop_deferral(self, state: ShardState, offset: int) -> None:
        """It needs no keeping: it ended, or is none of this channel's."""
        self.recorder.put(state, Tombstone(offset))

    def cut_off(self, shards: AbstractSet[Shard]) -> None:
        """Drops what is not safe yet of these shards; what was held up by that may start in others."""
        self.recorder.cut_off(shards)
        self._freed()

    def relieve(self, state: ShardState) -> None:
        """Too much is finished above the one that holds the position: that one is kept apart.

        Not one whose end is being noted: its deferral would be written behind that, and outlive it.
        """
        lowest = state.lowest_held
        if not self._shards.ran_ahead(state) or not isinstance(lowest, Delivery):
            return
        if not lowest.is_deferred and not lowest.is_ended:
            self.defer(lowest)

    def _put(self, delivery: Delivery) -> None:
        now, wait = self._clock.now(), delivery.due - self._clock.monotonic()
        delivery.is_deferred = True
        delivery.shard.begin_put(delivery.record)
        deferral = Deferral(
            record=delivery.record,
            attempts=delivery.attempts,
            uncertain=delivery.uncertain,
            due=now + wait if wait > 0 else 0.0,
        )
        self.recorder.put(delivery.shard, deferral)

    def look_at_bound(self, state: ShardState) -> bool:
        """Whether one more may be put off. Where not, the shard is read no further, and that is told once."""
        was_full = state.deferrals_full
        if self._shards.may_defer(state):
            return True
        if not was_full:
            logger.warning(
                "too many messages are put off: the partition waits until some of them end",
                extra=line_of(state, "deferrals_full"),
            )
        return False

    def _record(self, delivery: Delivery, state: State, reason: str, provider_id: str) -> LedgerRecord:
        return LedgerRecord(
            offset=delivery.offset,
            request_id=delivery.message.request_id,
            digest=digest_of(delivery.record.value),
            state=state,
            attempts=delivery.attempts,
            uncertain=delivery.uncertain,
            reason=reason[:REASON_LIMIT],
            provider_id=provider_id,
            low=delivery.shard.offsets.safe,
            at=self._clock.now(),
        )

    # Once a note is safe ----------------------------------------------------------------------

    def _on_written(self, state: ShardState, batch: Sequence[Written]) -> None:
        self.written += len(batch)
        for written in batch:
            state.ledger.fold(written)
            self._follow_up(state, written)
        if self._shards.drained(state):
            self._more_wanted()
        self.relieve(state)
        self._freed()

    def _follow_up(self, state: ShardState, written: Written) -> None:
        note = written.note
        if isinstance(note, LedgerRecord):
            if note.state.is_end:
                self._on_ended(state, note)
        elif isinstance(note, Deferral):
            self._on_deferred(state, note.record)
        elif state.deferrals_full and self._shards.may_defer(state):
            self._more_wanted()

    def _on_ended(self, state: ShardState, note: LedgerRecord) -> None:
        state.close_id(note.request_id, note.offset)
        if note.offset in state.ledger.deferred:
            self.drop_deferral(state, note.offset)
        state.finish(note.offset)

    def _on_deferred(self, state: ShardState, record: Record) -> None:
        state.end_put(record)
        if state.ledger.ends_at(record.offset):
            self.drop_deferral(state, record.offset)
        state.finish(record.offset)
