"""How far a group is behind in the log, told by the log itself: it works with every consumer down."""

from dataclasses import dataclass

from domain.log import Bounds, Position, Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a group stands in a shard. `position`: None where it never committed.

    `waits_since`: when the log took the first record that the position has not passed; None: there is none.
    """

    shard: Shard
    bounds: Bounds
    position: Position | None
    waits_since: float | None


@dataclass(frozen=True, slots=True)
class PutOff:
    """A shard's deferred messages, and when the log took the oldest of them."""

    count: int
    since: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """A group's lag in one partition, in messages; of the deferred ones the position has passed.

    `committed`: None where the group never committed.
    """

    group: str
    topic: str
    partition: int
    end: int
    committed: int | None
    lag: int
    deferred: int
    oldest_unfinished_seconds: float
