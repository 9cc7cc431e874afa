"""Where the group stands in each shard: found when a shard comes, committed as messages finish."""

import asyncio
import logging
from collections.abc import Mapping

from application.counts import DeliveryCounts
from application.shards import Shards, ShardState
from application.where_to_begin import StopShard, where_to_begin
from domain.errors import LogUnavailable
from domain.log import Bounds, Position
from domain.ports import Clock, MessageLog
from domain.topic import Start

RETRY_SECONDS = 1.0

logger = logging.getLogger("herald.positions")


class Positions:
    """Reads and writes the group's positions; nothing is committed that is not finished."""

    def __init__(
        self,
        log: MessageLog,
        clock: Clock,
        shards: Shards,
        starts: Mapping[str, Start],
        counts: DeliveryCounts,
    ) -> None:
        self._log = log
        self._clock = clock
        self._shards = shards
        self._starts = starts
        self._counts = counts
        self._committing = asyncio.Lock()
        self._unconfirmed = False

    async def load(self, state: ShardState) -> None:
        """Begins the shard where the group left off; waits as long as the log does not answer."""
        shard = state.shard
        position = await self._log.committed(shard)
        bounds = await self._bounds_of(state)
        state.end = bounds.end
        begin = where_to_begin(position, bounds, self._starts.get(shard.topic, Start.BEGINNING))
        if isinstance(begin, StopShard):
            state.trouble = begin.reason
            logger.error("a shard is not read: %s", begin.reason, extra=_where(state, "shard_stopped"))
            return
        if begin.lost:
            self.note_overtaken(state, begin.lost)
        if position is None:
            await self._commit_start(state, begin.offset)
        if not state.yielding:  # else the cancel was lost, and the shard may be read from elsewhere by now
            state.begin(begin.offset, begin.offset if position is None else position.offset)
            self._log.begin(shard, begin.offset)

    def note_overtaken(self, state: ShardState, lost: int) -> None:
        self._counts.overtaken[state.shard.topic] += lost
        logger.error(
            "retention deleted %d messages before they were read; lengthen retention_hours or add consumers",
            lost,
            extra=_where(state, "overtaken"),
        )

    async def commit(self) -> None:
        """Commits what moved. Not confirmed: it stays to be committed the next time."""
        async with self._committing:
            positions = self._shards.to_commit()
            if not positions:
                return
            try:
                await self._log.commit({state.shard: position for state, position in positions.items()})
            except LogUnavailable as error:
                self._note_confirmed(error)
                return
            # By state, not by shard: one that went and came back meanwhile stands elsewhere by now.
            for state, position in positions.items():
                state.committed = position.offset
            self._note_confirmed(None)

    async def measure(self) -> bool:
        """Asks for the shards' ends, for the lag; False when the log does not answer."""
        states = [state for state in self._shards if state.begun]
        try:
            bounds = await self._log.bounds({state.shard for state in states})
        except LogUnavailable:
            return False
        for state in states:
            if (found := bounds.get(state.shard)) is not None:
                state.end = found.end
        return True

    async def _bounds_of(self, state: ShardState) -> Bounds:
        while True:
            try:
                return (await self._log.bounds({state.shard}))[state.shard]
            except LogUnavailable:
                await self._clock.sleep(RETRY_SECONDS)

    async def _commit_start(self, state: ShardState, offset: int) -> None:
        """A group that is new writes down where it begins before it takes anything.

        Otherwise one that starts at the end, and stops before its first commit, would skip what
        came meanwhile.
        """
        while True:
            try:
                await self._log.commit({state.shard: Position(offset)})
            except LogUnavailable:
                await self._clock.sleep(RETRY_SECONDS)
            else:
                return

    def _note_confirmed(self, error: LogUnavailable | None) -> None:
        if error is not None and not self._unconfirmed:
            logger.warning("a commit was not confirmed: %s", error, extra={"action": "commit_unconfirmed"})
        elif error is None and self._unconfirmed:
            logger.info("commits are confirmed again", extra={"action": "commit_confirmed"})
        self._unconfirmed = error is not None


def _where(state: ShardState, action: str) -> dict[str, object]:
    return {"action": action, "topic": state.shard.topic, "partition": state.shard.partition}
