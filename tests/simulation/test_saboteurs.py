"""Engines with one rule broken each: if the histories did not find them, they would prove nothing."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import pytest

from application.delivery import Delivery
from application.delivery_engine import DeliveryEngine
from application.shards import ShardState
from domain.ports import Position, Record, Shard
from tests.simulation.history import History

HISTORIES = 60


class CommitsEarly(DeliveryEngine):
    """Commits what was taken, not what is finished."""

    def _take_in(self, records: Sequence[Record]) -> None:
        super()._take_in(records)
        for state in self.shards:
            state.committed = state.offsets.next
            self._log._broker.positions["email", state.shard] = Position(state.offsets.next)  # type: ignore[attr-defined]


class ForgetsLanes(DeliveryEngine):
    """Sends messages of one key side by side."""

    def _take_in_one(self, record: Record, state: ShardState) -> None:
        put = self._dispatcher.put

        def without_lane(delivery: Delivery) -> None:
            delivery.lane = None
            put(delivery)

        self._dispatcher.put = without_lane  # type: ignore[method-assign]
        super()._take_in_one(record, state)
        self._dispatcher.put = put  # type: ignore[method-assign]


class ForgetsRevokedWork(DeliveryEngine):
    """Treats what is taken away as finished."""

    def _let_go(self, shards: AbstractSet[Shard]) -> None:
        for state in self.shards:
            if state.shard in shards:
                state.begin(state.offsets.next, -1)
        super()._let_go(shards)


@pytest.mark.parametrize("saboteur", [CommitsEarly, ForgetsLanes, ForgetsRevokedWork])
async def test_a_broken_rule_is_found(saboteur: type[DeliveryEngine]) -> None:
    for seed in range(HISTORIES):
        history = History(seed, saboteur)
        await history.run()
        if history.broken_promises():
            return
    pytest.fail(f"{HISTORIES} histories did not find it")
