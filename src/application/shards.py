"""What a consumer process holds of each shard, and how much more it may take."""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from application.delivery_snapshot import ShardLag
from application.offsets import OffsetTracker
from domain.log import Position, Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingLimits:
    """Bounds of one process, shared evenly by its shards.

    `run_ahead`: finished records above a shard's lowest unfinished one; a crash repeats them.
    """

    records: int = 10_000
    bytes: int = 64 * 1024 * 1024
    run_ahead: int = 10_000


class ShardState:
    """One shard while it is this process's own."""

    __slots__ = (
        "begun",
        "committed",
        "end",
        "full",
        "held",
        "held_bytes",
        "offsets",
        "shard",
        "trouble",
        "yielding",
    )

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.offsets = OffsetTracker(0)
        self.committed = 0
        self.end = 0  # the log's end when it was last asked
        self.held = 0
        self.held_bytes = 0
        self.full = False
        self.begun = False
        self.yielding = False  # being taken away: what fails now is left for the next owner
        self.trouble: str | None = None  # why the shard is not read; a person has to look

    def begin(self, offset: int, committed: int) -> None:
        self.offsets = OffsetTracker(offset)
        self.committed = committed
        self.begun = True

    def take(self, offset: int, timestamp: float, size: int) -> None:
        self.offsets.take(offset, timestamp)
        self.held += 1
        self.held_bytes += size

    def finish(self, offset: int, size: int) -> None:
        self.offsets.finish(offset)
        self.held -= 1
        self.held_bytes -= size

    @property
    def wants_records(self) -> bool:
        return self.begun and not self.full and not self.yielding


class Shards:
    """All shards of this process."""

    def __init__(self, limits: HoldingLimits) -> None:
        self._limits = limits
        self._states: dict[Shard, ShardState] = {}

    def __iter__(self) -> Iterator[ShardState]:
        return iter(self._states.values())

    def get(self, shard: Shard) -> ShardState | None:
        return self._states.get(shard)

    def add(self, shard: Shard) -> ShardState:
        state = self._states[shard] = ShardState(shard)
        return state

    def remove(self, shards: Iterable[Shard]) -> None:
        for shard in shards:
            self._states.pop(shard, None)

    def begin_yielding(self, shards: AbstractSet[Shard]) -> None:
        for shard in shards & self._states.keys():
            self._states[shard].yielding = True

    def fill(self, state: ShardState) -> None:
        """Marks a shard full that has reached its share of a bound."""
        share = max(1, len(self._states))
        limits = self._limits
        state.full = (
            state.held >= max(1, limits.records // share)
            or state.held_bytes >= max(1, limits.bytes // share)
            or state.offsets.run_ahead >= limits.run_ahead
        )

    def drained(self, state: ShardState) -> bool:
        """Unmarks a full shard once it is half empty: then it may be read again."""
        if not state.full:
            return False
        share = 2 * max(1, len(self._states))
        limits = self._limits
        state.full = (
            state.held > limits.records // share
            or state.held_bytes > limits.bytes // share
            or state.offsets.run_ahead > limits.run_ahead // 2
        )
        return not state.full

    def wanted(self) -> set[Shard]:
        return {state.shard for state in self._states.values() if state.wants_records}

    def to_commit(self) -> dict[ShardState, Position]:
        """Positions that moved since they were last committed."""
        return {
            state: Position(state.offsets.safe)
            for state in self._states.values()
            if state.begun and state.offsets.safe != state.committed
        }

    def lags(self) -> tuple[ShardLag, ...]:
        return tuple(
            ShardLag(
                topic=state.shard.topic,
                partition=state.shard.partition,
                end=state.end,
                committed=state.committed,
            )
            for state in self._states.values()
            if state.begun
        )

    def oldest_unfinished(self, now: float) -> dict[str, float]:
        """Age in seconds of each topic's oldest held message; 0 where nothing is held."""
        ages: dict[str, float] = {}
        for state in self._states.values():
            oldest = state.offsets.oldest
            age = max(0.0, now - oldest) if oldest is not None else 0.0
            ages[state.shard.topic] = max(age, ages.get(state.shard.topic, 0.0))
        return ages
