"""What the contract suites of the log's ports ask of a technology under test."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from uuid import uuid4

from domain.dead_letter import DeadLetter
from domain.log import Assigned, Fetched, LogEvent, Lost, NewRecord, Position, Record, Revoking, Shard
from domain.ports import (
    DeadLetterArchive,
    DeadLetters,
    DeliveryLedger,
    DiscardOrders,
    MessageLog,
    MessagePublisher,
    TopicCatalog,
)
from domain.presence import USUAL_TIMES, PresenceTimes
from domain.topic import Cleanup, FoundTopic, Topic, TopicPlan
from domain.view_ports import GroupBacklog, GroupLags, Presence, StatusView

PARTITIONS = 3
A_DAY_MS = 86_400_000


def new_name(prefix: str = "topic") -> str:
    return f"{prefix}-{uuid4().hex[:12]}"


def plan(name: str, partitions: int = PARTITIONS, retention_ms: int = A_DAY_MS) -> TopicPlan:
    return TopicPlan(name=name, partitions=partitions, replication_factor=1, retention_ms=retention_ms)


class Rig(ABC):
    """One technology with two topics made for this test; each call gives a new instance, not yet entered.

    `topic` has `PARTITIONS` partitions and `other_topic` one; every log reads both. An instance
    stands for a process: two logs of one group are two processes of that group.
    """

    topic: str
    other_topic: str
    patience: float = 20.0
    """Seconds after which a test gives up waiting for something that should have happened."""

    keeps_retention: bool = True
    """Whether the log itself knows how long a topic is kept, and how it is forgotten."""

    segment_ms: int | None = None

    def found(self, name: str, partitions: int = PARTITIONS, retention_ms: int = A_DAY_MS) -> FoundTopic:
        """A topic as the catalog should give it."""
        return FoundTopic(
            name=name,
            partitions=partitions,
            replication_factor=1,
            retention_ms=retention_ms if self.keeps_retention else None,
            cleanup=Cleanup.DELETE if self.keeps_retention else None,
            segment_ms=self.segment_ms,
        )

    def configured(self) -> list[Topic]:
        """The topics as the settings would have them."""
        return [Topic(name=self.topic, partitions=PARTITIONS), Topic(name=self.other_topic, partitions=1)]

    def shard(self, partition: int = 0) -> Shard:
        return Shard(self.topic, partition)

    def shards(self) -> frozenset[Shard]:
        own = {Shard(self.topic, partition) for partition in range(PARTITIONS)}
        return frozenset(own | {Shard(self.other_topic, 0)})

    @abstractmethod
    def publisher(self) -> MessagePublisher: ...

    @abstractmethod
    def unreachable_publisher(self) -> MessagePublisher:
        """One whose log cannot take anything; its time limit is short."""

    @abstractmethod
    def log(self, group: str) -> MessageLog: ...

    @abstractmethod
    def dead_letters(self, group: str) -> DeadLetters: ...

    @abstractmethod
    def unreachable_dead_letters(self, group: str) -> DeadLetters:
        """Ones that cannot be written."""

    @abstractmethod
    def archive(self) -> DeadLetterArchive:
        """The letters that the groups email and sms have of both topics."""

    @abstractmethod
    def unreachable_archive(self) -> DeadLetterArchive:
        """One that can neither be read nor written; its time limit is short."""

    @abstractmethod
    async def kept(self, group: str) -> Sequence[DeadLetter]:
        """The group's dead letters of `topic`, as they were kept, with 0 as the records' timestamps."""

    @abstractmethod
    async def read_all(self, shard: Shard) -> Sequence[Record]:
        """Everything that the shard holds now."""

    @abstractmethod
    def ledger(self, group: str) -> DeliveryLedger: ...

    @abstractmethod
    def unreachable_ledger(self, group: str) -> DeliveryLedger:
        """One that can neither be written nor read; its time limit is short."""

    @abstractmethod
    async def forget_ledger(self, group: str, shard: Shard, before: int) -> None:
        """Deletes the records of the shard's ledger below a position, as retention does."""

    @abstractmethod
    def status_view(self) -> StatusView: ...

    @abstractmethod
    def unreachable_status_view(self) -> StatusView:
        """One that cannot be read; its time limit is short."""

    @abstractmethod
    def lags(self) -> GroupLags: ...

    @abstractmethod
    def unreachable_lags(self) -> GroupLags:
        """Ones that cannot be read; their time limit is short."""

    @abstractmethod
    async def make_room_for_presence(self) -> None:
        """What has to exist before processes tell of themselves."""

    @abstractmethod
    def presence(self, times: PresenceTimes = USUAL_TIMES) -> Presence: ...

    @abstractmethod
    def unreachable_presence(self) -> Presence:
        """One that can neither tell nor see; its time limit is short."""

    @abstractmethod
    def backlog(self) -> GroupBacklog: ...

    @abstractmethod
    def unreachable_backlog(self) -> GroupBacklog:
        """One whose notes cannot be read; its time limit is short."""

    @abstractmethod
    def discard_orders(self) -> DiscardOrders: ...

    @abstractmethod
    def unreachable_discard_orders(self) -> DiscardOrders:
        """Ones that cannot be given; their time limit is short."""

    @abstractmethod
    def catalog(self) -> TopicCatalog: ...

    @abstractmethod
    async def forget(self, shard: Shard, before: int) -> None:
        """Deletes the records below an offset, as retention does."""


def configured(*names: str) -> list[Topic]:
    return [Topic(name=name, partitions=PARTITIONS) for name in names]


def record(shard: Shard, value: str, key: str | None = None) -> NewRecord:
    return NewRecord(shard, None if key is None else key.encode(), value.encode())


async def until(done: Callable[[], bool], patience: float = 5.0) -> None:
    async with asyncio.timeout(patience):
        while not done():  # noqa: ASYNC110 - for what has no event to wait for
            await asyncio.sleep(0.001)


async def eventually_ready(port: MessagePublisher | MessageLog, patience: float) -> None:
    async with asyncio.timeout(patience):
        while await port.unready() is not None:  # noqa: ASYNC110 - the ports have no event for it
            await asyncio.sleep(0.05)


class Reader:
    """One process of a group: begins each shard where the group stands and answers revocations.

    With `obliging` False it keeps what is being taken away.
    """

    def __init__(self, log: MessageLog, patience: float, *, obliging: bool = True) -> None:
        self.log = log
        self.patience = patience
        self.obliging = obliging
        self.held: set[Shard] = set()
        self.events: list[LogEvent] = []
        self.records: list[Record] = []

    def values(self, shard: Shard) -> list[str]:
        return [(one.value or b"").decode() for one in self.records if one.shard == shard]

    async def step(self, limit: int = 100, seconds: float = 0.1) -> LogEvent | None:
        event = await self.log.next_event(frozenset(self.held), limit, seconds)
        match event:
            case Assigned(shards):
                await self._begin(shards)
            case Revoking(shards):
                self.held -= shards
                await self._let_go(shards)
            case Lost(shards):
                self.held -= shards
            case Fetched(records):
                self.records += records
            case _:
                pass
        if event is not None:
            self.events.append(event)
        return event

    async def _begin(self, shards: frozenset[Shard]) -> None:
        self.held |= shards
        for shard in sorted(shards):
            position = await self.log.committed(shard) or Position(0)
            self.log.begin(shard, position.offset)

    async def _let_go(self, shards: frozenset[Shard]) -> None:
        if self.obliging:
            await self.log.release(shards)

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(self.patience):
            while not done():
                await self.step()

    async def until_read(self, count: int) -> None:
        await self.until(lambda: len(self.records) >= count)

    async def until_held(self, shards: frozenset[Shard]) -> None:
        await self.until(lambda: self.held == shards)

    async def nothing_more(self) -> None:
        """Gives what should not come some time to come."""
        for _ in range(3):
            await self.step(seconds=0.02)


async def both_until(first: Reader, second: Reader, done: Callable[[], bool]) -> None:
    """Two processes go on side by side, as a rebalance needs both."""
    async with asyncio.timeout(first.patience):
        while not done():
            await asyncio.gather(first.step(), second.step())
