"""The contract suites' technology under test: Kafka."""

import itertools
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from enum import Enum, auto
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from adapters.kafka_archive import KafkaDeadLetterArchive
from adapters.kafka_backlog import KafkaGroupBacklog
from adapters.kafka_connection import KafkaConnection
from adapters.kafka_lags import KafkaGroupLags
from adapters.kafka_ledger import KafkaLedger
from adapters.kafka_log import KafkaLog
from adapters.kafka_orders import KafkaDiscardOrders
from adapters.kafka_presence import KafkaPresence
from adapters.kafka_publisher import KafkaDeadLetters, KafkaPublisher
from adapters.kafka_reading import record_of
from adapters.kafka_status_scan import KafkaStatusScan
from adapters.kafka_times import GroupTimes
from adapters.kafka_topics import KafkaTopicCatalog
from adapters.message_json import request_id_of
from adapters.system_clock import SystemClock
from domain.dead_letter import DeadLetter
from domain.discard import control_topic
from domain.ledger import deferred_topic, ledger_topic
from domain.log import Record, Shard
from domain.outcome import DeadLetterReason
from domain.presence import USUAL_TIMES, PresenceTimes
from domain.topic import FOR_EVER, Cleanup, TopicPlan, dead_letter_topic
from tests.contracts.rig import A_DAY_MS, Rig, configured, new_name, plan

GROUPS = ("email", "sms")
QUICK = GroupTimes(drain=1.0, session=6.0, heartbeat=0.3, rebalance_margin=3.0, request_margin=4.0)
NOBODY_LISTENS = KafkaConnection(bootstrap_servers="127.0.0.1:1")


class Beside(Enum):
    """What a group has beside a topic: its dead letters; what became of messages; orders to discard."""

    LETTERS = auto()
    LEDGERS = auto()
    ORDERS = auto()


class KafkaRig(Rig):
    """One topic name a test, and a group's own topics beside it."""

    replication_factor = 1
    segment_ms = 7 * A_DAY_MS

    def __init__(self, address: str) -> None:
        self.topic = new_name()
        self.other_topic = new_name("other")
        self.connection = KafkaConnection(bootstrap_servers=address)

    async def make_topics(self, beside: Iterable[Beside] = tuple(Beside)) -> Self:
        """The two topics, and those of their groups that are asked for."""
        sources = [plan(self.topic), plan(self.other_topic, 1)]
        pairs = list(itertools.product(sources, GROUPS))
        plans = [*sources, *(one for kind in beside for pair in pairs for one in _beside(kind, *pair))]
        async with self.catalog() as catalog:
            await catalog.create([replace(p, replication_factor=self.replication_factor) for p in plans])
        return self

    @asynccontextmanager
    async def with_topics(self, beside: Iterable[Beside] = tuple(Beside)) -> AsyncIterator[Self]:
        """Removes all of them in the end: a broker with the partitions of a thousand tests becomes slow."""
        yield await self.make_topics(beside)
        async with self._admin() as admin:
            ours = (self.topic, self.other_topic)
            done = await admin.delete_topics(
                [name for name in await admin.list_topics() if name.startswith(ours)]
            )
        assert {code for _, code in done.topic_error_codes} <= {0}, done

    def publisher(self) -> KafkaPublisher:
        return KafkaPublisher(self.connection, 5.0)

    def unreachable_publisher(self) -> KafkaPublisher:
        return KafkaPublisher(NOBODY_LISTENS, 0.3)

    def log(self, group: str) -> KafkaLog:
        topics = [self.topic, self.other_topic]
        return KafkaLog(self.connection, group, f"{self.topic}-{group}", topics, times=QUICK)

    def dead_letters(self, group: str) -> KafkaDeadLetters:
        return KafkaDeadLetters(self.connection)

    def unreachable_dead_letters(self, group: str) -> KafkaDeadLetters:
        return KafkaDeadLetters(NOBODY_LISTENS, timeout_seconds=0.3)

    def ledger(self, group: str) -> KafkaLedger:
        return KafkaLedger(self.connection, group)

    def unreachable_ledger(self, group: str) -> KafkaLedger:
        return KafkaLedger(NOBODY_LISTENS, group, timeout_seconds=0.3)

    async def forget_ledger(self, group: str, shard: Shard, before: int) -> None:
        await self.forget(Shard(ledger_topic(shard.topic, group), shard.partition), before)

    def status_view(self) -> KafkaStatusScan:
        return KafkaStatusScan(self.connection, self.configured(), SystemClock(), 24.0, lambda _: None)

    def unreachable_status_view(self) -> KafkaStatusScan:
        nowhere = (NOBODY_LISTENS, self.configured(), SystemClock(), 24.0, lambda _: None)
        return KafkaStatusScan(*nowhere, timeout_seconds=0.3)

    def lags(self) -> KafkaGroupLags:
        return KafkaGroupLags(self.connection, f"{self.topic}-")

    def unreachable_lags(self) -> KafkaGroupLags:
        return KafkaGroupLags(NOBODY_LISTENS, f"{self.topic}-", timeout_seconds=0.3)

    async def make_room_for_presence(self) -> None:
        await self.catalog().create([replace(plan(f"{self.topic}-presence", 1), stamped_by_log=True)])

    def presence(self, times: PresenceTimes = USUAL_TIMES) -> KafkaPresence:
        return KafkaPresence(self.connection, f"{self.topic}-presence", SystemClock(), times)

    def unreachable_presence(self) -> KafkaPresence:
        return KafkaPresence(NOBODY_LISTENS, "nowhere", SystemClock(), timeout_seconds=0.3)

    def backlog(self) -> KafkaGroupBacklog:
        return KafkaGroupBacklog(self.connection)

    def unreachable_backlog(self) -> KafkaGroupBacklog:
        return KafkaGroupBacklog(NOBODY_LISTENS, timeout_seconds=0.3)

    def discard_orders(self) -> KafkaDiscardOrders:
        return KafkaDiscardOrders(self.connection)

    def unreachable_discard_orders(self) -> KafkaDiscardOrders:
        return KafkaDiscardOrders(NOBODY_LISTENS, timeout_seconds=0.3)

    def catalog(self) -> KafkaTopicCatalog:
        return KafkaTopicCatalog(self.connection)

    def archive(self) -> KafkaDeadLetterArchive:
        topics = configured(self.topic, self.other_topic)
        return KafkaDeadLetterArchive(self.connection, topics, SystemClock(), request_id_of)

    def unreachable_archive(self) -> KafkaDeadLetterArchive:
        topics = configured(self.topic, self.other_topic)
        return KafkaDeadLetterArchive(
            NOBODY_LISTENS, topics, SystemClock(), request_id_of, timeout_seconds=0.3
        )

    async def kept(self, group: str) -> Sequence[DeadLetter]:
        letters = await self.read_all(Shard(dead_letter_topic(self.topic, group), 0))
        return [_letter_of(record, group) for record in letters]

    async def read_all(self, shard: Shard) -> list[Record]:
        """Everything that the shard holds now, read without any group."""
        partition = TopicPartition(shard.topic, shard.partition)
        records: list[Record] = []
        async with AIOKafkaConsumer(bootstrap_servers=self.connection.bootstrap_servers) as consumer:
            consumer.assign([partition])
            await consumer.seek_to_beginning(partition)
            end = (await consumer.end_offsets([partition]))[partition]
            while await consumer.position(partition) < end:
                answer = await consumer.getmany(partition, timeout_ms=1000)
                records += [record_of(shard, one) for one in answer.get(partition, [])]
        return records

    async def leader(self, shard: Shard) -> int:
        """Which node of the cluster leads the shard; 0 is the first."""
        async with self._admin() as admin:
            [topic] = await admin.describe_topics([shard.topic])
        return next(int(p["leader"]) for p in topic["partitions"] if p["partition"] == shard.partition) - 1

    async def forget(self, shard: Shard, before: int) -> None:
        async with self._admin() as admin:
            await admin.delete_records(
                {TopicPartition(shard.topic, shard.partition): RecordsToDelete(before)}
            )

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.connection.bootstrap_servers)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()


def _beside(kind: Beside, source: TopicPlan, group: str) -> list[TopicPlan]:
    """The topics of this kind that a group has beside the source."""
    kept = replace(source, retention_ms=FOR_EVER, cleanup=Cleanup.COMPACT)
    match kind:
        case Beside.LETTERS:
            return [plan(dead_letter_topic(source.name, group), 1)]
        case Beside.LEDGERS:
            deferred = replace(kept, name=deferred_topic(source.name, group), extra_message_bytes=65_536)
            return [replace(source, name=ledger_topic(source.name, group)), deferred]
        case Beside.ORDERS:
            return [replace(kept, name=control_topic(source.name, group), partitions=1)]


def _letter_of(kept: Record, group: str) -> DeadLetter:
    """The letter that the contract's headers tell of."""
    ours: Mapping[str, Any] = {name: value.decode() for name, value in kept.headers if _is_ours(name)}
    shard = Shard(ours["herald-topic"], int(ours["herald-partition"]))
    original = tuple(header for header in kept.headers if not _is_ours(header[0]))
    record = kept._replace(shard=shard, offset=int(ours["herald-offset"]), headers=original, timestamp=0.0)
    return DeadLetter(
        record=record,
        group=group,
        reason=DeadLetterReason(ours["herald-reason"]),
        error=ours["herald-error"],
        attempts=int(ours["herald-attempts"]),
        failed_at=datetime.fromisoformat(ours["herald-failed-at"]).timestamp(),
    )


def _is_ours(name: str) -> bool:
    return name.startswith("herald-")
