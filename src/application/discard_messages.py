"""The use case of `herald topics discard`: how many messages an order would end, and giving it."""

from collections.abc import Callable, Sequence

from application.commit_metadata import read_metadata
from application.shard_ledger import ShardLedger
from application.where_to_begin import StopShard, where_to_begin
from domain.discard import CLOCKS_DIFFER_SECONDS, Cut, Discard
from domain.errors import HeraldError
from domain.lag import Standing
from domain.ledger import Places, digest_of
from domain.log import Record, Shard
from domain.ports import Clock, DiscardOrders
from domain.status import Sighting
from domain.topic import Topic
from domain.view_ports import GroupBacklog, GroupLags


def shards_of(topic: Topic) -> Sequence[Shard]:
    return [Shard(topic.name, partition) for partition in range(topic.partitions)]


class SurveyDiscard:
    """Counts what an order would end: all that the group has not finished, and that is old enough.

    `window`: how many sent ids a group remembers of a partition, for a repeat is no message of its own.
    """

    def __init__(
        self,
        lags: GroupLags,
        backlog: GroupBacklog,
        sighting_of: Callable[[Record], Sighting],
        window: int,
    ) -> None:
        self._lags = lags
        self._backlog = backlog
        self._sighting_of = sighting_of
        self._window = window

    async def __call__(self, topic: Topic, group: str, before: float) -> int:
        """As it stands now. Changes nothing. Raises `HeraldError`, also where a partition cannot be read."""
        standings = await self._lags.standings(group, shards_of(topic))
        return sum([await self._in_shard(topic, group, before, standing) for standing in standings])

    async def _in_shard(self, topic: Topic, group: str, before: float, standing: Standing) -> int:
        shard, position = standing.shard, standing.position
        since = read_metadata(position.metadata) if position else None
        ledger = ShardLedger(self._window)
        async for notes in self._backlog.notes(group, shard, since or Places(0, 0)):
            for written in notes:
                ledger.fold(written)
        ledger_end = int(ledger.newest is not None)
        begin = where_to_begin(
            position, standing.bounds, topic.start, ledger_end=ledger_end, newest=ledger.newest
        )
        if isinstance(begin, StopShard):
            raise HeraldError(f"{shard.topic}-{shard.partition} is not read: {begin.reason}")
        count = _Count(Cut(standing.bounds.end, before), ledger, group, self._sighting_of)
        for _, kept in sorted(ledger.deferred.items()):
            count.put_off(kept.deferral.record)
        async for records in self._backlog.records(shard, begin.offset, standing.bounds.end):
            for record in records:
                count.unfinished(record)
        return count.messages


class _Count:
    """The skip rule of the intake, for one who only looks."""

    def __init__(
        self, cut: Cut, ledger: ShardLedger, group: str, sighting_of: Callable[[Record], Sighting]
    ) -> None:
        self._cut = cut
        self._ledger = ledger
        self._group = group
        self._sighting_of = sighting_of
        self._open: dict[str, int] = {}
        self.messages = 0

    def put_off(self, record: Record) -> None:
        request_id = self._sighting_of(record).request_id
        if not self._ledger.has_ended(record.offset, request_id):
            self._add(record, request_id)

    def unfinished(self, record: Record) -> None:
        """One that the group has not passed; it may have ended all the same."""
        seen = self._sighting_of(record)
        is_ours = seen.for_group in {"", self._group} and self._group in seen.channels
        if not is_ours or record.offset in self._ledger.deferred:
            return
        known = self._open.get(seen.request_id, self._ledger.sent_digest(seen.request_id))
        is_repeat = known == digest_of(record.value)
        if not is_repeat and not self._ledger.has_ended(record.offset, seen.request_id):
            self._add(record, seen.request_id)

    def _add(self, record: Record, request_id: str) -> None:
        self._open.setdefault(request_id, digest_of(record.value))
        self.messages += self._cut.takes(record.offset, record.timestamp)


class GiveDiscardOrder:
    """From then on the group's processes end what the order takes, within seconds or when they start."""

    def __init__(self, lags: GroupLags, orders: DiscardOrders, clock: Clock) -> None:
        self._lags = lags
        self._orders = orders
        self._clock = clock

    async def __call__(self, topic: Topic, group: str, before: float, *, by: str) -> Discard:
        """The order as it was given. Raises `HeraldError`.

        No message that comes after this was called is taken, and none of a topic that is made anew under the
        same name: hence nothing is taken that is not from before now.
        """
        standings = await self._lags.standings(group, shards_of(topic))
        now = self._clock.now()
        order = Discard(
            topic=topic.name,
            group=group,
            before=min(before, now + CLOCKS_DIFFER_SECONDS),
            upto={standing.shard.partition: standing.bounds.end for standing in standings},
            at=now,
            by=by,
        )
        await self._orders.give(order)
        return order
