"""Orders to end a group's older messages without sending them: how a wrong campaign is stopped.

An order stands apart from the messages: in the log it would come behind all that it must stop.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from domain.log import Shard

DISCARDED = "discarded"
"""The reason of what expired because an order said so."""

CLOCKS_DIFFER_SECONDS = 60.0
"""An order of all that is there now takes what was stamped so long after it: clocks differ."""


class Cut(NamedTuple):
    """A part of a shard: what lies below `upto` and came into the log before `before`, in epoch seconds."""

    upto: int
    before: float

    def takes(self, offset: int, timestamp: float) -> bool:
        return offset < self.upto and timestamp < self.before


@dataclass(frozen=True, slots=True, kw_only=True)
class Discard:
    """One order. `upto`: by partition the log's end when it was given; a partition without one is left alone.

    So it never takes what came later: new messages, what is sent again, and a foreign producer's records with
    old timestamps. It may stay for ever, and giving it again changes nothing. `at`: when it was given, in
    epoch seconds like `before`; `by`: by whom.
    """

    topic: str
    group: str
    before: float
    upto: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    at: float
    by: str

    def cut(self, partition: int) -> Cut:
        return Cut(self.upto.get(partition, 0), self.before)

    def includes(self, other: "Discard") -> bool:
        """Whether nothing is left for the other one to take."""
        return self.before >= other.before and all(
            self.upto.get(partition, 0) >= upto for partition, upto in other.upto.items()
        )


def cuts_of(orders: Iterable[Discard], shard: Shard) -> tuple[Cut, ...]:
    """What the orders take of a shard, each adding to the others; none that another one includes."""
    found = {order.cut(shard.partition) for order in orders if order.topic == shard.topic}
    cuts: list[Cut] = []
    for cut in sorted(found, reverse=True):
        if cut.upto > 0 and all(cut.before > higher.before for higher in cuts):
            cuts.append(cut)
    return tuple(cuts)


def control_topic(topic: str, group: str) -> str:
    """Where orders to `group` about `topic` lie."""
    return f"{topic}.{group}.control"
