"""The contract suites' technology under test: Kafka."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
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


class KafkaRig(Rig):
    """One topic name a test, and a group's own topics beside it."""

    replication_factor = 1
    segment_ms = 7 * A_DAY_MS

    def __init__(self, address: str) -> None:
        self.topic = new_name()
        self.other_topic = new_name("other")
        self.connection = KafkaConnection(bootstrap_servers=address)

    async def make_topics(self) -> Self:
        sources = [plan(self.topic), plan(self.other_topic, 1)]
        letters = [plan(dead_letter_topic(s.name, group), 1) for s in sources for group in GROUPS]
        orders = [_control(source, group) for source in sources for group in GROUPS]
        plans = [*sources, *letters, *_ledgers(sources), *orders]
        async with self.catalog() as catalog:
            await catalog.create([replace(p, replication_factor=self.replication_factor) for p in plans])
        return self

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
        admin = AIOKafkaAdminClient(bootstrap_servers=self.connection.bootstrap_servers)
        await admin.start()
        try:
            [topic] = await admin.describe_topics([shard.topic])
            return (
                next(int(p["leader"]) for p in topic["partitions"] if p["partition"] == shard.partition) - 1
            )
        finally:
            await admin.close()

    async def forget(self, shard: Shard, before: int) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.connection.bootstrap_servers)
        await admin.start()
        try:
            await admin.delete_records(
                {TopicPartition(shard.topic, shard.partition): RecordsToDelete(before)}
            )
        finally:
            await admin.close()


def _ledgers(sources: Sequence[TopicPlan]) -> list[TopicPlan]:
    """Where each group notes what became of these topics' messages, and keeps what it put off."""
    plans = []
    for source, group in itertools.product(sources, GROUPS):
        plans.append(replace(source, name=ledger_topic(source.name, group)))
        deferred = replace(source, name=deferred_topic(source.name, group), retention_ms=FOR_EVER)
        plans.append(replace(deferred, cleanup=Cleanup.COMPACT, extra_message_bytes=65_536))
    return plans


def _control(source: TopicPlan, group: str) -> TopicPlan:
    name = control_topic(source.name, group)
    return replace(source, name=name, partitions=1, retention_ms=FOR_EVER, cleanup=Cleanup.COMPACT)


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
