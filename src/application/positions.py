"""Where the group stands in each shard: found when a shard comes, committed as messages finish."""

import asyncio
import logging
from collections.abc import Set as AbstractSet

from application.counts import DeliveryCounts
from application.shards import Shards, ShardState
from application.tick import Tick
from domain.errors import LogUnavailable
from domain.log import Position, Shard
from domain.ports import Clock, MessageLog

logger = logging.getLogger("herald.positions")


class Positions:
    """Reads and writes the group's positions; nothing is committed that is not finished."""

    def __init__(
        self,
        log: MessageLog,
        clock: Clock,
        shards: Shards,
        counts: DeliveryCounts,
        tick: Tick,
    ) -> None:
        self._log = log
        self._clock = clock
        self._shards = shards
        self._counts = counts
        self._tick = tick
        self._committing = asyncio.Lock()
        self._unconfirmed = False

    def note_overtaken(self, state: ShardState, lost: int) -> None:
        self._counts.overtaken[state.shard.topic] += lost
        logger.error(
            "retention deleted %d messages before they were read; lengthen retention_hours or add consumers",
            lost,
            extra=line_of(state, "overtaken"),
        )

    def skip_overtaken(self, state: ShardState, first: int) -> None:
        """Retention took what lies below `first` while the shard was read: it is counted, and passed over."""
        self.note_overtaken(state, max(0, first - state.offsets.next))
        state.offsets.skip_to(first)

    async def commit(self) -> bool:
        """Commits what moved. Not confirmed: it stays to be committed the next time.

        Whether a shard that was full may be read again.
        """
        async with self._committing:
            await self._commit()
        self._shards.count_uncommitted()
        return bool([state for state in self._shards if self._shards.drained(state)])

    async def _commit(self) -> None:
        self._tick.check()
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
            state.committed = position
            state.ledger.forget_below(position.offset)
        self._note_confirmed(None)

    async def commit_first(self, state: ShardState, position: Position) -> None:
        """Where the group begins that never committed. Raises `LogUnavailable`."""
        self._tick.check()
        await self._log.commit({state.shard: position})

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

    def _note_confirmed(self, error: LogUnavailable | None) -> None:
        if error is not None and not self._unconfirmed:
            logger.warning("a commit was not confirmed: %s", error, extra={"action": "commit_unconfirmed"})
        elif error is None and self._unconfirmed:
            logger.info("commits are confirmed again", extra={"action": "commit_confirmed"})
        self._unconfirmed = error is not None


def note_rebalance(action: str, shards: AbstractSet[Shard]) -> None:
    names = sorted(f"{shard.topic}-{shard.partition}" for shard in shards)
    logger.info("rebalance: %s", action, extra={"action": action, "shards": names})


def line_of(state: ShardState, action: str) -> dict[str, object]:
    """What a log line about the shard tells beside its text."""
    return {"action": action, "topic": state.shard.topic, "partition": state.shard.partition}
