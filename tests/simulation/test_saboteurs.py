"""Engines with one rule broken each: if the histories did not find them, they would prove nothing."""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet

import pytest

from application.delivery import Delivery
from application.delivery_engine import DeliveryEngine
from application.intake import Taken
from application.shards import ShardState
from domain.log import Position, Record, Shard
from tests.simulation.history import History

HISTORIES = 60


class CommitsEarly(DeliveryEngine):
    """Commits what was taken, not what is finished."""

    def _take_in(self, records: Sequence[Record]) -> None:
        super()._take_in(records)
        for state in self.shards:
            state.committed = Position(state.offsets.next)
            self._log._broker.positions["email", state.shard] = state.committed  # type: ignore[attr-defined]


class ForgetsLanes(DeliveryEngine):
    """Sends messages of one key side by side."""

    def _accept(self, taken: Taken, state: ShardState, offset: int) -> None:
        if isinstance(taken, Delivery):
            taken.lane = None
        super()._accept(taken, state, offset)


class ForgetsRevokedWork(DeliveryEngine):
    """Treats what is taken away as finished."""

    def _let_go(self, shards: AbstractSet[Shard]) -> None:
        for state in self.shards:
            if state.shard in shards:
                state.begin(state.offsets.next, Position(-1))
        super()._let_go(shards)


def lost(history: History) -> bool:
    return bool(history.lost())


def out_of_order(history: History) -> bool:
    return bool(history.out_of_order())


# The promise is named: an engine that merely crashed would break another one and prove nothing.
@pytest.mark.parametrize(
    ("saboteur", "is_broken"),
    [(CommitsEarly, lost), (ForgetsLanes, out_of_order), (ForgetsRevokedWork, lost)],
)
async def test_a_broken_rule_is_found_by_the_promise_it_breaks(
    saboteur: type[DeliveryEngine], is_broken: Callable[[History], bool]
) -> None:
    for seed in range(HISTORIES):
        history = History(seed, saboteur)
        await history.run()
        if is_broken(history):
            return
    pytest.fail(f"{HISTORIES} histories did not find it")
