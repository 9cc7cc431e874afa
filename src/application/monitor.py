"""Looks at a running engine every few seconds: how far behind it is, whether it stands still."""

import logging
from collections.abc import Mapping

from application.delivery_snapshot import DeliverySnapshot
from application.dispatcher import Dispatcher
from application.positions import Positions
from application.shards import Shards, ShardState
from application.watchdog import Watchdog
from domain.errors import HeraldError, LogUnavailable
from domain.ports import Clock, MessageLog
from domain.topic import Topic

RISK_SHARE = 0.75
"""An oldest unfinished message of this share of its topic's retention is warned about."""

_HELD_WORK = "held work"

logger = logging.getLogger("herald.engine")


class EngineStalled(HeraldError):
    """The log answers and there is work, but nothing moves: the process must be started anew."""


class Monitor:
    """Measures, warns, and finds out that nothing moves."""

    def __init__(
        self,
        log: MessageLog,
        clock: Clock,
        shards: Shards,
        positions: Positions,
        dispatcher: Dispatcher,
        topics: Mapping[str, Topic],
        watchdog: Watchdog,
    ) -> None:
        self._log = log
        self._clock = clock
        self._shards = shards
        self._positions = positions
        self._dispatcher = dispatcher
        self._topics = topics
        self._watchdog = watchdog
        self._at_risk: frozenset[str] = frozenset()
        self._log_answers = False  # it was not asked yet

    async def look(self, moved: int, *, may_read: bool) -> None:
        """Raises `EngineStalled`. `moved`: grows with whatever gets on; `may_read`: the channel is up."""
        answered = self._log_answers = await self._positions.measure()
        now = self._clock.monotonic()
        has_work = answered and self._dispatcher.could_start()
        self._watchdog.look(_HELD_WORK, now, moved, has_work=has_work)
        for state in self._shards:
            self._look_at(state, now, may_read=answered and may_read)
            self._shards.forget_old(state, self._clock.now())
        self._watchdog.keep_only({_HELD_WORK, *(state.shard for state in self._shards)})
        if self.stalled():
            raise EngineStalled("nothing moved for a minute though there was work; starting anew")
        if answered:
            await self._look_for_old_ones()

    def stalled(self) -> bool:
        return self._watchdog.stalled(self._clock.monotonic())

    def snapshot(self, group: str, *, channel_up: bool) -> DeliverySnapshot:
        """How it stands now; the log's ends are a few seconds old."""
        now = self._clock.now()
        return DeliverySnapshot(
            group=group,
            in_flight=self._dispatcher.in_flight,
            channel_up=channel_up,
            log_up=self._log_answers,
            lags=self._shards.lags(),
            oldest_unfinished=self._shards.oldest_unfinished(now),
            retention_used=self._retention_used(),
        )

    def _look_at(self, state: ShardState, now: float, *, may_read: bool) -> None:
        """A shard that has more, and may be read, must come on."""
        reached = self._log.reached(state.shard)
        has_work = may_read and state.wants_records and reached is not None and state.end > reached
        self._watchdog.look(state.shard, now, reached or 0, has_work=has_work)

    async def _look_for_old_ones(self) -> None:
        for state in list(self._shards):
            if state.begun:
                await self._look_for_oldest(state)
        used = self._retention_used()
        at_risk = frozenset(topic for topic, share in used.items() if share >= RISK_SHARE)
        for topic in at_risk - self._at_risk:
            logger.warning(
                "the oldest unfinished message of %s has used %d %% of its retention: "
                "lengthen retention_hours or add consumers before the log deletes it",
                topic,
                100 * used[topic],
                extra={"action": "retention_risk", "topic": topic},
            )
        self._at_risk = at_risk

    async def _look_for_oldest(self, state: ShardState) -> None:
        """What is put off, and what waits in the log while nothing of the shard is held."""
        deferred = state.ledger.deferred.values()
        state.oldest_deferred = min((kept.deferral.record.timestamp for kept in deferred), default=None)
        record = None
        if state.offsets.oldest is None and state.end > state.offsets.next:
            try:
                record = await self._log.peek(state.shard, state.offsets.next)
            except LogUnavailable:
                return
        state.oldest_unread = record.timestamp if record is not None else None

    def _retention_used(self) -> dict[str, float]:
        """How much of its retention each topic's oldest message has used that only the log keeps."""
        ages = self._shards.oldest_unfinished(self._clock.now(), in_log=True)
        kept = {topic: self._topics[topic].retention_hours for topic in ages.keys() & self._topics.keys()}
        return {topic: ages[topic] / (3600.0 * hours) for topic, hours in kept.items()}
