"""What a consumer process holds of each shard, and how much more it may take."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from application.commit_metadata import write_metadata
from application.delivery_snapshot import ShardLag
from application.offsets import OffsetTracker
from application.shard_cuts import ShardCuts
from application.shard_ledger import ShardLedger
from domain.log import Position, Record, Shard

if TYPE_CHECKING:
    from domain.ledger import Deferral


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingLimits:
    """What one process holds. `records` and `bytes`: not yet finished, shared evenly by its shards.

    Of one shard: `run_ahead`: finished records above the lowest unfinished one. `uncommitted`: finished below
    it and not committed, each of which is remembered. `deferred`, `deferred_bytes`: kept apart. Of all shards
    together `all_uncommitted`; `all_deferred`, `all_deferred_bytes` are shared evenly, and may be more where
    shards come with more.
    """

    records: int = 10_000
    bytes: int = 64 * 1024 * 1024
    run_ahead: int = 10_000
    uncommitted: int = 100_000
    deferred: int = 10_000
    deferred_bytes: int = 64 * 1024 * 1024
    all_uncommitted: int = 500_000
    all_deferred: int = 60_000
    all_deferred_bytes: int = 256 * 1024 * 1024


class Held(Protocol):
    """What a shard holds of a record: a delivery, or something that cannot be sent."""

    @property
    def offset(self) -> int: ...

    @property
    def size(self) -> int: ...


class ShardState:
    """One shard while it is this process's own."""

    __slots__ = (
        "aside",
        "begun",
        "committed",
        "cuts",
        "deferrals_full",
        "end",
        "full",
        "gone",
        "held",
        "held_bytes",
        "ledger",
        "offsets",
        "oldest_deferred",
        "oldest_unread",
        "open_ids",
        "putting",
        "putting_bytes",
        "shard",
        "trouble",
        "yielding",
    )

    def __init__(self, shard: Shard, ledger: ShardLedger) -> None:
        self.shard = shard
        self.ledger = ledger
        self.offsets = OffsetTracker(0)
        self.committed = Position(0)
        self.end = 0  # the log's end when it was last asked
        self.held: dict[int, Held] = {}
        self.held_bytes = 0
        self.open_ids: dict[str, Held] = {}  # the messages that are neither ended nor passed over
        self.aside: deque[Deferral] = deque()  # they start when the reader has come to their offsets
        self.oldest_unread: float | None = None  # timestamp of what comes next while nothing is held
        self.oldest_deferred: float | None = None
        self.cuts = ShardCuts()
        self.putting: dict[int, int] = {}  # offsets on their first way among the deferrals, with bytes
        self.putting_bytes = 0
        self.gone = False  # another's: nothing more may be noted of it
        self.full = False
        self.deferrals_full = False
        self.begun = False
        self.yielding = False  # being taken away: what fails now is left for the next owner
        self.trouble: str | None = None  # why the shard is not read

    def begin(self, offset: int, committed: Position) -> None:
        self.offsets = OffsetTracker(offset)
        self.committed = committed
        self.aside.extend(kept.deferral for _, kept in sorted(self.ledger.deferred.items()))
        self.begun = True

    def take(self, held: Held, timestamp: float) -> None:
        self.offsets.take(held.offset, timestamp)
        self.held[held.offset] = held
        self.held_bytes += held.size

    def finish(self, offset: int) -> None:
        """The position may pass this offset. Again, or for one that was never taken: nothing happens."""
        held = self.held.pop(offset, None)
        if held is not None:
            self.offsets.finish(offset)
            self.held_bytes -= held.size

    def begin_put(self, record: Record) -> None:
        """It is on its way among the deferrals; if it is there already, it takes no more room."""
        if record.offset not in self.ledger.deferred and record.offset not in self.putting:
            self.putting[record.offset] = size = record.size
            self.putting_bytes += size

    def end_put(self, record: Record) -> None:
        self.putting_bytes -= self.putting.pop(record.offset, 0)

    def close_id(self, request_id: str, offset: int) -> None:
        """The message at this offset has ended; a later one may have its id."""
        held = self.open_ids.get(request_id)
        if held is not None and held.offset == offset:
            del self.open_ids[request_id]

    @property
    def lowest_held(self) -> Held | None:
        """What holds the position."""
        return self.held.get(self.offsets.safe)

    @property
    def uncommitted(self) -> int:
        """How far the last commit is behind what may be committed."""
        return self.offsets.safe - self.committed.offset

    @property
    def position(self) -> Position:
        """Where the group stands, and what it needs to go on from there."""
        offset = self.offsets.safe
        return Position(offset, write_metadata(self.ledger.needed_from(offset)))

    @property
    def is_held_back(self) -> bool:
        """A shard with too much put off reads no further than it had once come: up to there it must."""
        return self.deferrals_full and self.offsets.next > self.ledger.highest_deferred

    @property
    def wants_records(self) -> bool:
        return self.begun and not self.full and not self.yielding and not self.is_held_back

    @property
    def wants_what_is_cut(self) -> bool:
        """Whether reading on may end messages by an order, also while nothing can be sent."""
        return self.wants_records and self.cuts.may_take_from(self.offsets.next)


class Shards:
    """All shards of this process, and what it remembers of those that it had."""

    def __init__(
        self, limits: HoldingLimits, window_size: int, window_seconds: Mapping[str, float] | None = None
    ) -> None:
        self.limits = limits
        self._window_size = window_size
        self._window_seconds = window_seconds or {}  # by topic
        self._states: dict[Shard, ShardState] = {}
        self._remembered: dict[Shard, ShardLedger] = {}
        self._uncommitted = 0  # of all, when it was last counted

    def __iter__(self) -> Iterator[ShardState]:
        return iter(self._states.values())

    def get(self, shard: Shard) -> ShardState | None:
        return self._states.get(shard)

    def add(self, shard: Shard) -> ShardState:
        ledger = self._remembered.get(shard) or self.forget(shard)
        state = self._states[shard] = ShardState(shard, ledger)
        return state

    def forget(self, shard: Shard) -> ShardLedger:
        """Begins a shard's notes anew."""
        ledger = self._remembered[shard] = ShardLedger(self._window_size)
        return ledger

    def forget_old(self, state: ShardState, now: float) -> None:
        """A sent message that is older than its topic's retention does not suppress its id any more."""
        lasts = self._window_seconds.get(state.shard.topic)
        if lasts is not None:
            state.ledger.window.forget_before(now - lasts)

    def remove(self, shards: Iterable[Shard]) -> None:
        for shard in shards:
            if (state := self._states.pop(shard, None)) is not None:
                state.gone = True

    def lose(self, shards: Iterable[Shard]) -> None:
        """Whether the last commit counted is not known, and so neither what may be forgotten below it."""
        for shard in shards:
            self._remembered.pop(shard, None)
        self.remove(shards)

    def begin_yielding(self, shards: AbstractSet[Shard]) -> None:
        for shard in shards & self._states.keys():
            self._states[shard].yielding = True

    def fill(self, state: ShardState) -> None:
        """Marks a shard full that has reached its share of a bound."""
        share = max(1, len(self._states))
        limits = self.limits
        state.full = (
            len(state.held) >= max(1, limits.records // share)
            or state.held_bytes >= max(1, limits.bytes // share)
            or self.ran_ahead(state)
            or state.uncommitted >= limits.uncommitted
            or self._uncommitted >= limits.all_uncommitted
        )

    def ran_ahead(self, state: ShardState) -> bool:
        return state.offsets.run_ahead >= self.limits.run_ahead

    def drained(self, state: ShardState) -> bool:
        """Unmarks a full shard once it is half empty: then it may be read again."""
        if not state.full:
            return False
        share = 2 * max(1, len(self._states))
        limits = self.limits
        state.full = (
            len(state.held) > limits.records // share
            or state.held_bytes > limits.bytes // share
            or state.offsets.run_ahead > limits.run_ahead // 2
            or state.uncommitted > limits.uncommitted // 2
            or self._uncommitted > limits.all_uncommitted // 2
        )
        return not state.full

    def may_defer(self, state: ShardState) -> bool:
        """Whether one more may be put off; false also marks the shard, until a tenth has gone again."""
        ledger, limits = state.ledger, self.limits
        few = 0.9 if state.deferrals_full else 1.0
        shares = max(1, len(self._states))
        most = max(1, min(limits.deferred, limits.all_deferred // shares))
        most_bytes = min(limits.deferred_bytes, limits.all_deferred_bytes // shares)
        state.deferrals_full = (
            len(ledger.deferred) + len(state.putting) >= most * few
            or ledger.deferred_bytes + state.putting_bytes >= most_bytes * few
        )
        return not state.deferrals_full

    def trouble(self) -> str | None:
        """Why a shard is not read, if one is not."""
        troubled = (state for state in self._states.values() if state.trouble)
        return next((f"{s.shard.topic}-{s.shard.partition}: {s.trouble}" for s in troubled), None)

    def wanted(self) -> set[Shard]:
        return {state.shard for state in self._states.values() if state.wants_records}

    def to_commit(self) -> dict[ShardState, Position]:
        """Positions that moved since they were last committed, also if only their notes did."""
        standing = {state: state.position for state in self._states.values() if state.begun}
        return {state: position for state, position in standing.items() if position != state.committed}

    def count_uncommitted(self) -> None:
        """Counted once a commit: with many shards it is too much work for each fetch."""
        self._uncommitted = sum(state.uncommitted for state in self._states.values() if state.begun)

    def lags(self) -> tuple[ShardLag, ...]:
        return tuple(
            ShardLag(
                topic=state.shard.topic,
                partition=state.shard.partition,
                end=state.end,
                committed=state.committed.offset,
                deferred=len(state.ledger.deferred),
            )
            for state in self._states.values()
            if state.begun
        )

    def oldest_unfinished(self, now: float, *, in_log: bool = False) -> dict[str, float]:
        """Age in seconds of each topic's oldest message that is not ended, as far as known; 0: none.

        `in_log`: only of those that the log must not delete yet; what is put off is kept apart.
        """
        ages: dict[str, float] = {}
        for state in self._states.values():
            times = (state.offsets.oldest, state.oldest_unread, None if in_log else state.oldest_deferred)
            known = [time for time in times if time is not None]
            age = max(0.0, now - min(known)) if known else 0.0
            ages[state.shard.topic] = max(age, ages.get(state.shard.topic, 0.0))
        return ages
