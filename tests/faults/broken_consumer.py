"""The program `herald` with one rule of its consumers broken: `python -m ... RULE consumer email`.

What a drill is worth is shown by what it finds.
"""

import sys
from collections.abc import Callable, Mapping, Sequence

from dependency_injector import providers

from adapters.sqlite_ledger import SqliteLedger
from adapters.sqlite_log import SqliteLog
from application.delivery import Delivery
from application.delivery_engine import DeliveryEngine
from application.intake import Taken
from application.shards import ShardState
from containers import Container
from domain.ledger import LedgerRecord, Note
from domain.log import Position, Shard
from entrypoints.cli import main


class CommitsEarly(SqliteLog):
    """Commits what was handed out, not what is finished."""

    async def commit(self, positions: Mapping[Shard, Position]) -> None:
        early = {
            shard: Position(self.reached(shard) or position.offset, position.metadata)
            for shard, position in positions.items()
        }
        await super().commit(early)


class ForgetsLanes(DeliveryEngine):
    """Sends messages of one key side by side."""

    def _accept(self, taken: Taken, state: ShardState, offset: int) -> None:
        if isinstance(taken, Delivery):
            taken.lane = None
        super()._accept(taken, state, offset)


class DropsLedgerWrites(SqliteLedger):
    """Says of every outcome that it is written, and writes none."""

    async def write(self, shard: Shard, notes: Sequence[Note]) -> Sequence[int]:
        end = (await self.extent(shard)).ledger.end
        kept = [note for note in notes if not isinstance(note, LedgerRecord)]
        positions = iter(await super().write(shard, kept))
        return [end if isinstance(note, LedgerRecord) else next(positions) for note in notes]


def _commit_early() -> None:
    Container.message_log.override(
        providers.Singleton(CommitsEarly, Container.sqlite_group_file, Container.subscribed)
    )


def _forget_lanes() -> None:
    Container.engine.override(providers.Singleton(ForgetsLanes, **Container.engine.kwargs))


def _drop_ledger_writes() -> None:
    Container.ledger.override(providers.Singleton(DropsLedgerWrites, Container.sqlite_group_file))


RULES: Mapping[str, Callable[[], None]] = {
    "commits-early": _commit_early,
    "forgets-lanes": _forget_lanes,
    "drops-ledger-writes": _drop_ledger_writes,
}

if __name__ == "__main__":
    rule, *arguments = sys.argv[1:]
    RULES[rule]()
    sys.exit(main(arguments))
