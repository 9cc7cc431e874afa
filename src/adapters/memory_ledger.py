"""The ledger in memory, for tests and simulations."""

from collections.abc import AsyncIterator, Sequence
from typing import Self

from adapters.memory_broker import MemoryBroker, NoteLog
from domain.ledger import Extent, LedgerRecord, Note, Places, Written
from domain.log import Shard

SLICE = 100


class MemoryLedger:
    """A `DeliveryLedger`."""

    def __init__(self, broker: MemoryBroker, group: str) -> None:
        self._broker = broker
        self._group = group

    async def write(self, shard: Shard, notes: Sequence[Note]) -> Sequence[int]:
        self._broker.answer()
        ledger, deferrals = self._logs(shard)
        positions = [(ledger if isinstance(note, LedgerRecord) else deferrals).append(note) for note in notes]
        self._broker.confirm()
        return positions

    async def extent(self, shard: Shard) -> Extent:
        self._broker.answer()
        ledger, deferrals = self._logs(shard)
        return Extent(ledger.bounds, deferrals.bounds)

    async def recall(self, shard: Shard, since: Places) -> AsyncIterator[Sequence[Written]]:
        self._broker.answer()
        ledger, deferrals = self._logs(shard)
        written = ledger.since(since.ledger) + deferrals.since(since.deferred)
        for start in range(0, len(written), SLICE):
            self._broker.answer()
            yield written[start : start + SLICE]

    def _logs(self, shard: Shard) -> tuple[NoteLog, NoteLog]:
        place = (self._group, shard)
        broker = self._broker
        return broker.ledgers.setdefault(place, NoteLog()), broker.deferrals.setdefault(place, NoteLog())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None
