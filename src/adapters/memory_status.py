"""Status and lag of the log in memory."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Self

from adapters.memory_broker import MemoryBroker, NoteLog
from adapters.message_sighting import sighting_of
from domain.errors import LogUnavailable
from domain.lag import PutOff, Standing
from domain.ledger import Deferral, LedgerRecord, Note, Tombstone
from domain.log import Shard
from domain.status import GroupNotes, MessageStatus, Sighting
from domain.status_fold import fold_status, newest_of, notes_of
from domain.topic import Topic


def still_deferred(notes: Sequence[Note]) -> dict[int, Deferral]:
    """By offset: a later put replaces, a tombstone ends."""
    left: dict[int, Deferral] = {}
    for note in notes:
        if isinstance(note, Deferral):
            left[note.record.offset] = note
        elif isinstance(note, Tombstone):
            left.pop(note.offset, None)
    return left


class MemoryStatusView:
    """A `StatusView`."""

    def __init__(self, broker: MemoryBroker, topics: Sequence[Topic]) -> None:
        self._broker = broker
        self._topics = {topic.name: topic for topic in topics}

    async def find(self, request_id: str, topics: AbstractSet[str]) -> MessageStatus | None:
        self._broker.answer()
        shards = self._broker.shards(self._topics.keys() & topics)
        found = {shard: self._sightings(shard, request_id) for shard in shards}
        return newest_of(self._fold(shard, seen) for shard, seen in found.items() if seen)

    def _sightings(self, shard: Shard, request_id: str) -> list[Sighting]:
        bounds = self._broker.bounds(shard)
        records = self._broker.read(shard, bounds.first, bounds.end - bounds.first)
        return [seen for seen in map(sighting_of, records) if seen.request_id == request_id]

    def _fold(self, shard: Shard, sightings: Sequence[Sighting]) -> MessageStatus:
        request_id = sightings[0].request_id
        groups = self._topics[shard.topic].groups
        notes = {group: self._notes(group, shard, request_id) for group in groups}
        return fold_status(sightings, notes, self._broker.clock.now())

    def _notes(self, group: str, shard: Shard, request_id: str) -> GroupNotes:
        broker = self._broker
        records = [
            note
            for note in broker.ledgers.get((group, shard), NoteLog()).notes
            if isinstance(note, LedgerRecord) and note.request_id == request_id
        ]
        position = broker.positions.get((group, shard))
        deferred = still_deferred(broker.deferrals.get((group, shard), NoteLog()).notes)
        passed = position.offset if position else 0
        due = {offset: deferral.due for offset, deferral in deferred.items()}
        return notes_of(records, due, passed)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


class MemoryGroupLags:
    """A `GroupLags`."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    async def standings(self, group: str, shards: Sequence[Shard]) -> Sequence[Standing]:
        self._broker.answer()
        return [self._standing(group, shard) for shard in shards]

    def _standing(self, group: str, shard: Shard) -> Standing:
        if shard not in self._broker.shards([shard.topic]):
            raise LogUnavailable(f"the log has no partition {shard.partition} of {shard.topic}")
        bounds = self._broker.bounds(shard)
        position = self._broker.positions.get((group, shard))
        at = max(bounds.first, position.offset if position else 0)
        waiting = self._broker.read(shard, at, 1)
        waits_since = waiting[0].timestamp if waiting else None
        return Standing(shard=shard, bounds=bounds, position=position, waits_since=waits_since)

    async def put_off(self, group: str, since: Mapping[Shard, int]) -> Mapping[Shard, PutOff]:
        self._broker.answer()
        return {shard: self._put_off(group, shard, position) for shard, position in since.items()}

    def _put_off(self, group: str, shard: Shard, since: int) -> PutOff:
        written = self._broker.deferrals.get((group, shard), NoteLog()).since(since)
        left = still_deferred([one.note for one in written])
        times = [deferral.record.timestamp for deferral in left.values()]
        return PutOff(len(times), min(times, default=None))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None
