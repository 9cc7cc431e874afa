"""Where a group goes on in a shard that has just become its process's own."""

from dataclasses import dataclass

from domain.ledger import LedgerRecord
from domain.log import Bounds, Position
from domain.topic import Start

NEW_TOPIC = "the topic was made anew; use a new topic, or delete what the group has noted of the old one"


@dataclass(frozen=True, slots=True)
class BeginAt:
    """Read from `offset` on. `lost`: how many records retention deleted before the group read them.

    `forgotten`: the log had lost the group's position, and the ledger said where it was.
    """

    offset: int
    lost: int = 0
    forgotten: bool = False


@dataclass(frozen=True, slots=True)
class StopShard:
    """Do not read the shard: going on would lose or repeat messages. A person has to look."""

    reason: str


def where_to_begin(
    position: Position | None,
    bounds: Bounds,
    start: Start,
    *,
    ledger_end: int = 0,
    newest: LedgerRecord | None = None,
) -> BeginAt | StopShard:
    """Never commits silently past what was not read, and never resends what was.

    `ledger_end` above 0: the shard's ledger has or had records. `newest`: the last one it still has.
    """
    known = max(newest.low, newest.offset + 1) if newest is not None else 0
    if known > bounds.end:
        return StopShard(f"the ledger knows of offset {known - 1}, the log ends at {bounds.end}: {NEW_TOPIC}")
    if position is None:
        return _without_position(bounds, start, ledger_end, newest)
    if position.offset > bounds.end:
        return StopShard(
            f"the group's position {position.offset} is beyond the log's end {bounds.end}: {NEW_TOPIC}"
        )
    return _at(position.offset, bounds)


def _without_position(bounds: Bounds, start: Start, ledger_end: int, newest: LedgerRecord | None) -> BeginAt:
    """Kafka forgets a group's offsets some days after its last member left; the ledger does not."""
    if not ledger_end:
        return BeginAt(bounds.first if start is Start.BEGINNING else bounds.end)
    begin = _at(newest.low if newest is not None else bounds.first, bounds)
    return BeginAt(begin.offset, begin.lost, forgotten=True)


def _at(offset: int, bounds: Bounds) -> BeginAt:
    lost = max(0, bounds.first - offset)
    return BeginAt(offset + lost, lost)
