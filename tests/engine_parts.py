"""Pieces that the engine's tests share: deliveries made by hand, and an engine on fake time."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NoReturn

from adapters.memory import MemoryBroker, MemoryDeadLetters, MemoryLog, MemoryPublisher
from adapters.memory_ledger import MemoryLedger
from adapters.memory_orders import MemoryDiscardOrders
from application.counts import DeliveryCounts
from application.delivery import Delivery
from application.delivery_engine import DeliveryEngine
from application.dispatcher import Dispatcher, Parts
from application.engine_options import EngineOptions
from application.shard_ledger import ShardLedger
from application.shards import ShardState
from domain.dead_letter import DeadLetter
from domain.errors import LogUnavailable
from domain.log import NewRecord, Record, Shard
from domain.message import Message
from domain.retry import RetryPolicy
from domain.topic import Start, Topic, TopicPlan
from tests.fakes import FakeClock, ScriptedChannel

TOPIC = "transactions"
SHARD = Shard(TOPIC, 0)
WEEK_MS = 168 * 3_600_000


def record(offset: int, key: str | None = None, shard: Shard = SHARD, value: bytes | None = b"{}") -> Record:
    return Record(shard, offset, key.encode() if key else None, value, (), 0.0)


def delivery(offset: int, key: str | None = None, shard: Shard = SHARD) -> Delivery:
    taken = record(offset, key, shard)
    message = Message(request_id=f"id-{offset}", topic_name=shard.topic, email="a@example.test", key=key)
    lane = (shard, taken.key) if taken.key is not None else None
    return Delivery(
        record=taken, message=message, shard=ShardState(shard, ShardLedger(100)), lane=lane, size=1
    )


def decode(record: Record) -> Message | str:
    """The simplest decoder: a JSON object with the fields of a message, or a complaint."""
    try:
        return Message(topic_name=record.shard.topic, **json.loads(record.value or b""))
    except (ValueError, TypeError):
        return "not a message"


def jitter() -> float:
    return 1.0 - 2.0**-53  # all of the step, so that waits are round numbers


class AbsentDeadLetters(MemoryDeadLetters):
    """While `away`, nothing can be kept, though the rest of the log answers."""

    away = False

    async def keep(self, letter: DeadLetter) -> None:
        if self.away:
            raise LogUnavailable("too few copies")
        await super().keep(letter)


class Frozen(Exception):
    """The process ended at once."""


def end_at_once(reason: str) -> NoReturn:
    raise Frozen(reason)


@dataclass
class World:
    """One log, and as many consumer processes as a test starts."""

    clock: FakeClock = field(default_factory=FakeClock)
    partitions: int = 1
    start: Start = Start.BEGINNING
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    options: EngineOptions = field(default_factory=lambda: EngineOptions(concurrency=8))
    channel: ScriptedChannel = field(default_factory=ScriptedChannel)
    engine_type: type[DeliveryEngine] = DeliveryEngine
    log_type: type[MemoryLog] = MemoryLog
    ledger_type: type[MemoryLedger] = MemoryLedger
    orders_type: type[MemoryDiscardOrders] = MemoryDiscardOrders
    expires_after_seconds: int = 0
    dispatching: Callable[[Parts, int, Callable[[], None]], Dispatcher] = Dispatcher

    def __post_init__(self) -> None:
        plan = TopicPlan(name=TOPIC, partitions=self.partitions, replication_factor=1, retention_ms=WEEK_MS)
        self.broker = MemoryBroker(self.clock, [plan])
        self.dead_letters = AbsentDeadLetters(self.broker)

    @property
    def topic(self) -> Topic:
        return Topic(
            name=TOPIC,
            partitions=self.partitions,
            start=self.start,
            expires_after_seconds=self.expires_after_seconds,
        )

    async def post(self, *ids: str, key: str | None = None, partition: int = 0, **fields: str) -> None:
        """Appends a message for each id."""
        given = {"email": "a@example.test", **fields}
        records = [
            NewRecord(
                Shard(TOPIC, partition),
                key.encode() if key else None,
                json.dumps({"request_id": request_id, **given}).encode(),
            )
            for request_id in ids
        ]
        await MemoryPublisher(self.broker).publish(records)

    async def post_raw(self, value: bytes) -> None:
        await MemoryPublisher(self.broker).publish([NewRecord(Shard(TOPIC, 0), None, value)])

    def engine(self, log: MemoryLog) -> DeliveryEngine:
        return self.engine_type(
            log=log,
            ledger=self.ledger_type(self.broker, "email"),
            orders=self.orders_type(self.broker),
            channel=self.channel,
            decode=decode,
            dead_letters=self.dead_letters,
            clock=self.clock,
            policy=self.policy,
            jitter=jitter,
            topics={TOPIC: self.topic},
            options=self.options,
            counts=DeliveryCounts(),
            end_at_once=end_at_once,
            dispatching=self.dispatching,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Running"]:
        """A consumer process; leaving kills it without a drain if it still runs."""
        async with self.log_type(self.broker, "email", [TOPIC]) as log:
            engine = self.engine(log)
            stop = asyncio.Event()
            task = asyncio.create_task(engine.run(stop))
            await self.clock.settle()
            running = Running(self, log, engine, stop, task)
            try:
                yield running
            finally:
                task.cancel()
                await asyncio.wait({task})

    def committed(self, partition: int = 0) -> int:
        position = self.broker.positions.get(("email", Shard(TOPIC, partition)))
        return position.offset if position else -1

    def letters(self) -> Sequence[tuple[int, str]]:
        return [(letter.record.offset, str(letter.reason)) for letter in self.broker.letters]


@dataclass
class Running:
    """One consumer process of a `World`."""

    world: World
    log: MemoryLog
    engine: DeliveryEngine
    stop: asyncio.Event
    task: asyncio.Task[None]

    async def drain(self, seconds: float = 0.0) -> None:
        """What SIGTERM does, and time for it."""
        self.stop.set()
        await self.world.clock.advance(seconds)
