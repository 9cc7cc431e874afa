"""Which shards are read, from where, and what has been read but not handed out. No I/O."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from aiokafka import TopicPartition

from domain.log import USUAL_HEADERS, Fetched, Headers, Overtaken, Record, Shard

Polled = Mapping[TopicPartition, "Reading"]


class Reading:
    """One shard since `begin`. A new `begin` is a new object, so that late answers to the old are told apart.

    `next`: the offset after the last record taken from Kafka, or after what holds none. Ours, because
    aiokafka's own position moves also past records that an error made it drop.
    """

    __slots__ = ("first", "is_doubted", "next", "stash")

    def __init__(self, offset: int) -> None:
        self.next = offset
        self.stash: deque[Record] = deque()
        self.is_doubted = False  # Kafka said that `next` is out of range; nobody knows yet on which side
        self.first: int | None = None  # where the log begins, once it is known to begin later


class Readings:
    """All shards that are read."""

    def __init__(self) -> None:
        self._active: dict[Shard, Reading] = {}

    def begin(self, shard: Shard, offset: int) -> None:
        self._active[shard] = Reading(offset)

    def clear(self) -> None:
        self._active.clear()

    def is_current(self, shard: Shard, reading: Reading) -> bool:
        return self._active.get(shard) is reading

    def to_poll(self, wanted: AbstractSet[Shard]) -> dict[TopicPartition, Reading]:
        """What may be asked for now."""
        return {
            TopicPartition(shard.topic, shard.partition): reading
            for shard, reading in self._active.items()
            if shard in wanted and not reading.is_doubted
        }

    def offsets(self) -> dict[Shard, int]:
        """Where each shard goes on."""
        return {shard: reading.next for shard, reading in self._active.items()}

    def reached(self, shard: Shard) -> int | None:
        """The offset after the last record handed out, or after what holds none; None: not begun."""
        reading = self._active.get(shard)
        if reading is None:
            return None
        return reading.stash[0].offset if reading.stash else reading.next

    def accept(self, polled: Polled, answer: Mapping[TopicPartition, Sequence[Any]]) -> None:
        """Takes what Kafka answered, but for shards that were taken away or begun anew meanwhile."""
        for partition, records in answer.items():
            shard = Shard(partition.topic, partition.partition)
            reading = polled.get(partition)
            if reading is None or not self.is_current(shard, reading):
                continue
            fresh = [record_of(shard, record) for record in records if record.offset >= reading.next]
            reading.stash.extend(fresh)
            if fresh:
                reading.next = fresh[-1].offset + 1

    def begun_anew(self, polled: Polled, answer: Mapping[TopicPartition, Sequence[Any]]) -> dict[Shard, int]:
        """Shards that were begun while this was on its way to their old selves, and where each goes on.

        A question outlives a rebalance, and then brings what the new beginning is owed: nobody takes it, but
        aiokafka has moved on past it.
        """
        stale = {
            Shard(partition.topic, partition.partition)
            for partition in answer
            if not self.is_current(Shard(partition.topic, partition.partition), polled[partition])
        }
        return {shard: self._active[shard].next for shard in stale & self._active.keys()}

    def pass_over(self, polled: Polled, positions: Mapping[TopicPartition, int]) -> None:
        """What lies before these positions was answered: beyond the records there are offsets without any."""
        for partition, position in positions.items():
            reading = polled[partition]
            if self.is_current(Shard(partition.topic, partition.partition), reading):
                reading.next = max(reading.next, position)

    def doubt(self, polled: Polled, partitions: Iterable[TopicPartition]) -> list[tuple[Shard, Reading]]:
        """Kafka has nothing at these positions; they are not polled until someone has looked why."""
        doubted = []
        for partition in partitions:
            shard = Shard(partition.topic, partition.partition)
            reading = polled.get(partition)
            if reading is not None and self.is_current(shard, reading):
                reading.is_doubted = True
                doubted.append((shard, reading))
        return doubted

    def next_event(self, wanted: AbstractSet[Shard], limit: int) -> Fetched | Overtaken | None:
        """Records that wait to be handed out, at most `limit`; or a shard that retention overtook.

        The latter comes again and again until the shard is begun anew.
        """
        records: list[Record] = []
        for shard, reading in self._active.items():
            if shard not in wanted:
                continue
            while reading.stash and len(records) < limit:
                records.append(reading.stash.popleft())
        if records:
            return Fetched(records)
        for shard, reading in self._active.items():
            if reading.first is not None and not reading.stash:
                return Overtaken(shard, reading.first)
        return None


def record_of(shard: Shard, record: Any) -> Record:
    """Our record from aiokafka's."""
    headers = _headers_of(record.headers)
    return Record(shard, record.offset, record.key, record.value, headers, record.timestamp / 1000)


def _headers_of(given: Iterable[tuple[str, bytes | None]]) -> Headers:
    """Kafka lets a header's value be null; we take that for empty."""
    headers = tuple([(name, value or b"") for name, value in given])
    return USUAL_HEADERS if headers == USUAL_HEADERS else headers  # one object for all records that are held
