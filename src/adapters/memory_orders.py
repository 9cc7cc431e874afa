"""Orders to discard in memory, for tests and simulations."""

from collections.abc import Sequence
from typing import Self

from adapters.memory_broker import MemoryBroker
from domain.discard import Discard


class MemoryDiscardOrders:
    """`DiscardOrders` of the broker's `orders`."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    async def give(self, order: Discard) -> None:
        self._broker.answer()
        given = self._broker.orders.setdefault((order.topic, order.group), [])
        given[:] = [*(earlier for earlier in given if not order.includes(earlier)), order]
        self._broker.confirm()

    async def in_force(self, topic: str, group: str) -> Sequence[Discard]:
        self._broker.answer()
        return tuple(self._broker.orders.get((topic, group), ()))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None
