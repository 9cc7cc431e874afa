"""What all processes of one log in memory share: records, positions, dead letters and who holds what."""

import asyncio
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Protocol

from domain.errors import LogUnavailable
from domain.ledger import Deferral, Note, Written
from domain.log import Bounds, NewRecord, Position, Receipt, Record, ReturnedRecord, Shard, Unconfirmed
from domain.ports import Clock
from domain.topic import TopicPlan

if TYPE_CHECKING:
    from domain.dead_letter import DeadLetter, LetterPlace, Replay
    from domain.discard import Discard
    from domain.presence import ProcessReport

SILENT = "the log does not answer"


class NoteLog:
    """A shard's ledger or its deferrals: notes at rising positions."""

    def __init__(self) -> None:
        self.bounds = Bounds(0, 0)
        self._written: list[Written] = []

    @property
    def notes(self) -> list[Note]:
        return [written.note for written in self._written]

    def append(self, note: Note) -> int:
        position = self.bounds.end
        self._written.append(Written(position, note))
        self.bounds = Bounds(self.bounds.first, position + 1)
        return position

    def since(self, position: int) -> list[Written]:
        return self._written[bisect_left(self._written, position, key=_position) :]

    def forget(self, before: int) -> None:
        """What retention does."""
        self._written = self.since(before)
        self.bounds = Bounds(before, self.bounds.end)

    def compact(self) -> None:
        """What compaction does to deferrals: of each offset the last note stays, and all positions too."""
        last = {_offset(written.note): written for written in self._written}
        self._written = [written for written in self._written if last[_offset(written.note)] is written]


def _position(written: Written) -> int:
    return written.position


def _offset(note: Note) -> int:
    return note.record.offset if isinstance(note, Deferral) else note.offset


class Member(Protocol):
    """One process of a group, as the group sees it."""

    group: str
    topics: tuple[str, ...]

    @property
    def held(self) -> AbstractSet[Shard]:
        """Also those that are being taken away and are not released yet."""

    def assign(self, shards: Sequence[Shard]) -> None: ...

    def revoke(self, seconds: float) -> None: ...

    def lose(self) -> None: ...


class MemoryBroker:
    """What all processes of one log share, and levers for what can happen to it.

    `down`: nothing is answered and nothing is taken. `loses_answers`: writes are taken but not
    confirmed. `revoke_seconds`: how long a member may hold on to what is being taken from it.
    """

    def __init__(self, clock: Clock, plans: Sequence[TopicPlan] = (), revoke_seconds: float = 30.0) -> None:
        self.clock = clock
        self.revoke_seconds = revoke_seconds
        self.loses_answers = False
        self.topics: dict[str, TopicPlan] = {}
        self.letters: list[DeadLetter] = []
        self.replays: list[tuple[LetterPlace, Replay]] = []
        self.orders: dict[tuple[str, str], list[Discard]] = {}  # by topic and group
        self.positions: dict[tuple[str, Shard], Position] = {}
        self.ledgers: dict[tuple[str, Shard], NoteLog] = {}
        self.deferrals: dict[tuple[str, Shard], NoteLog] = {}
        self._down = False
        self.reports: dict[str, ProcessReport] = {}
        self._records: dict[Shard, list[Record | None]] = {}  # None: a gap
        self._firsts: dict[Shard, int] = {}
        self._groups: dict[str, _Group] = {}
        self._waiting: dict[asyncio.Future[None], None] = {}
        self.create(plans)

    @property
    def down(self) -> bool:
        return self._down

    @down.setter
    def down(self, down: bool) -> None:
        self._down = down
        self.wake()

    def create(self, plans: Sequence[TopicPlan]) -> None:
        for plan in plans:
            if plan.name not in self.topics:
                self.topics[plan.name] = plan
                self._records.update({shard: [] for shard in self.shards([plan.name])})
                self._firsts.update(dict.fromkeys(self.shards([plan.name]), 0))
        for group in self._groups.values():
            group.rebalance()

    def shards(self, topics: Iterable[str]) -> list[Shard]:
        known = [self.topics[name] for name in topics if name in self.topics]
        return [Shard(plan.name, partition) for plan in known for partition in range(plan.partitions)]

    def append(self, record: NewRecord | ReturnedRecord) -> Receipt | Unconfirmed:
        kept = self._records.get(record.shard)
        if kept is None:
            return Unconfirmed(f"the log has no partition {record.shard.partition} of {record.shard.topic}")
        offset = self._firsts[record.shard] + len(kept)
        now = self.clock.now()
        kept.append(Record(record.shard, offset, record.key, record.value, record.headers, now))
        self.wake()
        return Unconfirmed("the answer was lost") if self.loses_answers else Receipt(offset)

    def leave_gap(self, shard: Shard) -> None:
        """What a transaction's end does: takes an offset that no reader ever sees."""
        self._records[shard].append(None)
        self.wake()

    def read(self, shard: Shard, offset: int, limit: int) -> list[Record]:
        """Also fewer, where there are gaps; `past` says how far that went."""
        start = offset - self._firsts[shard]
        return [record for record in self._records[shard][start : start + limit] if record is not None]

    def past(self, shard: Shard, offset: int, limit: int) -> int:
        """What is read next after `read` with these values."""
        return max(offset, min(offset + limit, self.bounds(shard).end))

    def bounds(self, shard: Shard) -> Bounds:
        first = self._firsts[shard]
        return Bounds(first, first + len(self._records[shard]))

    def has(self, shard: Shard, offset: int) -> bool:
        bounds = self.bounds(shard)
        return bounds.first <= offset < bounds.end

    def make_anew(self, topic: str) -> None:
        """What an operator does who deletes a topic and makes it again: it counts from 0."""
        for shard in self.shards([topic]):
            self._records[shard] = []
            self._firsts[shard] = 0
        self.wake()

    def forget(self, shard: Shard, before: int) -> None:
        """What retention does: deletes the records below an offset."""
        gone = before - self._firsts[shard]
        del self._records[shard][:gone]
        self._firsts[shard] += gone
        self.wake()

    def lose(self, member: Member) -> None:
        """What a session time-out does: the member's shards are another's before it hears of it."""
        member.lose()
        self.group(member.group).rebalance()

    def group(self, name: str) -> "_Group":
        return self._groups.setdefault(name, _Group(self))

    def confirm(self) -> None:
        if self.down or self.loses_answers:
            raise LogUnavailable(SILENT)

    def answer(self) -> None:
        if self.down:
            raise LogUnavailable(SILENT)

    def wake(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Until something changes, but no longer than `seconds` of the broker's clock."""
        changed = asyncio.get_running_loop().create_future()
        self._waiting[changed] = None
        timer = asyncio.ensure_future(self.clock.sleep(seconds))
        try:
            await asyncio.wait({changed, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            self._waiting.pop(changed, None)


class _Group:
    """Eager rebalancing: whoever joins or leaves, everybody gives up everything and is dealt anew."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._members: list[Member] = []
        self._deadline: float | None = None

    @property
    def deadline(self) -> float:
        return float("inf") if self._deadline is None else self._deadline

    def join(self, member: Member) -> None:
        self._members.append(member)
        self.rebalance()

    def leave(self, member: Member) -> None:
        self._members.remove(member)
        self.rebalance()

    def rebalance(self) -> None:
        seconds = self._broker.revoke_seconds
        for member in self._members:
            member.revoke(seconds)
        self._deadline = self._broker.clock.monotonic() + seconds
        self.deal()

    def deal(self) -> None:
        """Hands all shards out, once nobody holds one any more or the time for that is over."""
        late = [member for member in self._members if member.held]
        if self._deadline is None or (late and self._broker.clock.monotonic() < self._deadline):
            return
        self._deadline = None
        for member in late:
            member.lose()
        shards = self._broker.shards(sorted({topic for member in self._members for topic in member.topics}))
        for index, member in enumerate(self._members):
            member.assign(shards[index :: len(self._members)])
        self._broker.wake()
