"""Where a group goes on in a shard that has just become its process's own."""

from dataclasses import dataclass

from domain.log import Bounds, Position
from domain.topic import Start


@dataclass(frozen=True, slots=True)
class BeginAt:
    """Read from `offset` on. `lost`: how many records retention deleted before the group read them."""

    offset: int
    lost: int = 0


@dataclass(frozen=True, slots=True)
class StopShard:
    """Do not read the shard: going on would lose or repeat messages. A person has to look."""

    reason: str


def where_to_begin(position: Position | None, bounds: Bounds, start: Start) -> BeginAt | StopShard:
    """Never commits silently past what was not read, and never resends what was."""
    if position is None:
        return BeginAt(bounds.first if start is Start.BEGINNING else bounds.end)
    if position.metadata:
        return StopShard("its committed position was written by a newer Herald: run that version again")
    if position.offset > bounds.end:
        return StopShard(
            f"the group's position {position.offset} is beyond the log's end {bounds.end}: the topic was "
            "made anew; use a new topic, or reset the group's position by hand"
        )
    lost = max(0, bounds.first - position.offset)
    return BeginAt(position.offset + lost, lost)
