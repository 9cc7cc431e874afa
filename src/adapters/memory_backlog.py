"""A group's notes and the log's records in memory."""

from collections.abc import AsyncIterator, Sequence
from typing import Self

from adapters.memory_broker import MemoryBroker
from adapters.memory_ledger import MemoryLedger
from domain.ledger import Places, Written
from domain.log import Record, Shard


class MemoryGroupBacklog:
    """A `GroupBacklog`."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    async def notes(self, group: str, shard: Shard, since: Places) -> AsyncIterator[Sequence[Written]]:
        async for some in MemoryLedger(self._broker, group).recall(shard, since):
            yield some

    async def records(self, shard: Shard, first: int, end: int) -> AsyncIterator[Sequence[Record]]:
        self._broker.answer()
        first = max(first, self._broker.bounds(shard).first)
        if some := self._broker.read(shard, first, max(0, end - first)):
            yield some

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None
