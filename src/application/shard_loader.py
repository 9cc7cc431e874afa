"""Takes a shard over: where the group stands, what it had noted, and what it had put off."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from application.commit_metadata import read_metadata, write_metadata
from application.positions import Positions, line_of
from application.shards import Shards, ShardState
from application.where_to_begin import NEW_TOPIC, BeginAt, StopShard, where_to_begin
from domain.errors import LogUnavailable, UnknownVersion
from domain.ledger import Extent, LedgerRecord, Places, digest_of
from domain.log import Bounds, Position
from domain.ports import Clock, DeliveryLedger, MessageLog
from domain.topic import Start, Topic

RETRY_SECONDS = 1.0

logger = logging.getLogger("herald.positions")


@dataclass(frozen=True, slots=True)
class Begin:
    """The first offset to read, and what is committed."""

    offset: int
    committed: Position


class ShardLoader:
    """Loads shards, each in a task of its own. It waits as long as the log does not answer."""

    def __init__(
        self,
        log: MessageLog,
        ledger: DeliveryLedger,
        clock: Clock,
        shards: Shards,
        positions: Positions,
        topics: Mapping[str, Topic],
        recall_orders: Callable[[ShardState], Awaitable[None]],
    ) -> None:
        self._log = log
        self._ledger = ledger
        self._clock = clock
        self._shards = shards
        self._positions = positions
        self._topics = topics
        self._recall_orders = recall_orders

    async def load(self, state: ShardState) -> Begin | None:
        """Where the shard is to be begun; None: it must not be read. `trouble` says why, or why it waits."""
        while True:
            try:
                return await self._load(state)
            except LogUnavailable as error:
                self._wait(state, str(error))
                await self._clock.sleep(RETRY_SECONDS)
            except UnknownVersion as error:
                self._stop(state, str(error))
                return None

    async def _load(self, state: ShardState) -> Begin | None:
        position = await self._log.committed(state.shard)
        extent = await self._ledger.extent(state.shard)
        await self._recall(state, extent, position)
        bounds = (await self._log.bounds({state.shard}))[state.shard]
        state.end = bounds.end
        begin = await self._begin(state, position, bounds, extent)
        if isinstance(begin, StopShard):
            self._stop(state, begin.reason)
            return None
        self._tell(state, begin)
        if position is None:
            _expect_ours(state)
            position = Position(begin.offset, write_metadata(state.ledger.needed_from(begin.offset)))
            await self._positions.commit_first(state, position)
        await self._recall_orders(state)
        state.trouble = None
        state.ledger.forget_below(position.offset)
        self._shards.forget_old(state, self._clock.now())
        return Begin(begin.offset, position)

    async def _recall(self, state: ShardState, extent: Extent, position: Position | None) -> None:
        """Folds what this process does not know yet; a call that was broken off goes on where it was."""
        needed = read_metadata(position.metadata if position else "")
        known = state.ledger
        went_back = (position.offset if position else 0) < known.forgotten_below
        if went_back or _is_before(extent, known.next):
            known = state.ledger = self._shards.forget(state.shard)
        since = known.next
        if since == Places(0, 0) and needed is not None:
            # The newest record always, whether needed or not: it tells whether the topic is still the same.
            since = Places(min(needed.ledger, max(0, extent.ledger.end - 1)), needed.deferred)
        async for some in self._ledger.recall(state.shard, since):
            _expect_ours(state)
            for written in some:
                known.fold(written)
            await self._clock.sleep(0)
        known.reach(Places(extent.ledger.end, extent.deferred.end))

    async def _begin(
        self, state: ShardState, position: Position | None, bounds: Bounds, extent: Extent
    ) -> BeginAt | StopShard:
        newest = state.ledger.newest
        if newest is not None and await self._is_another_topic(state, newest):
            return StopShard(
                f"offset {newest.offset} holds another message than the ledger says: {NEW_TOPIC}"
            )
        topic = self._topics.get(state.shard.topic)
        start = topic.start if topic is not None else Start.BEGINNING
        return where_to_begin(position, bounds, start, ledger_end=extent.ledger.end, newest=newest)

    async def _is_another_topic(self, state: ShardState, newest: LedgerRecord) -> bool:
        record = await self._log.peek(state.shard, newest.offset)
        return record is not None and digest_of(record.value) != newest.digest

    def _tell(self, state: ShardState, begin: BeginAt) -> None:
        if begin.forgotten:
            logger.warning(
                "the log had forgotten the group's position; its ledger says %d",
                begin.offset,
                extra=line_of(state, "position_forgotten"),
            )
        if begin.lost:
            self._positions.note_overtaken(state, begin.lost)

    def _wait(self, state: ShardState, reason: str) -> None:
        if state.trouble is None:
            logger.warning("a shard waits to be read: %s", reason, extra=line_of(state, "shard_waits"))
        state.trouble = f"waits to be read: {reason}"

    def _stop(self, state: ShardState, reason: str) -> None:
        self._shards.forget(state.shard)
        state.trouble = reason
        logger.error("a shard is not read: %s", reason, extra=line_of(state, "shard_stopped"))


def _expect_ours(state: ShardState) -> None:
    """A library may lose the cancel of a load; its successor folds the same notes."""
    if state.yielding:
        raise asyncio.CancelledError


def _is_before(extent: Extent, known: Places) -> bool:
    """Whether the notes end before what was folded of them: they were made anew."""
    return extent.ledger.end < known.ledger or extent.deferred.end < known.deferred
