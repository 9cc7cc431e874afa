"""What became of messages on Kafka: which topics are asked for, without a broker."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from adapters.kafka_connection import KafkaConnection
from adapters.kafka_status_feed import KafkaStatusFeed
from adapters.kafka_status_scan import KafkaStatusScan
from domain.errors import LogUnavailable
from domain.ledger import deferred_topic, ledger_topic
from domain.status import DeliveryState
from domain.topic import Topic
from tests.fakes import FakeClock
from tests.unit.test_kafka_reader import Shelf, ShelfConsumer

TOPIC = Topic(name="transactions", partitions=1, groups=("email", "sms"))
SOURCE = TopicPartition("transactions", 0)
VALUE = b'{"request_id": "r-1", "email": "ada@example.com", "phone": "+12025550143"}'
NOWHERE = KafkaConnection(bootstrap_servers="127.0.0.1:1")


class Cluster(Shelf):
    """Topics that exist. `asked`: those whose bounds were asked for, which lets a broker create them."""

    def __init__(self, *topics: str) -> None:
        super().__init__()
        self.topics = set(topics)
        self.asked: set[str] = set()


class ClusterConsumer(ShelfConsumer):
    broker: Cluster

    async def topics(self) -> set[str]:
        return self.broker.topics

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        self.broker.asked |= {partition.topic for partition in partitions}
        return await super().beginning_offsets(partitions)

    async def offsets_for_times(self, times: dict[TopicPartition, int]) -> dict[TopicPartition, Any]:
        return {partition: SimpleNamespace(offset=0) for partition in times}

    async def getmany(self, partition: TopicPartition, *, timeout_ms: int, max_records: int) -> Any:
        found = await super().getmany(partition, timeout_ms=timeout_ms, max_records=max_records)
        for record in found.get(partition, []):
            vars(record).update(key=None, value=VALUE, headers=(), timestamp=1_800_000_000_000)
        return found


async def test_a_view_waits_for_topics_that_are_not_made_yet_and_never_lets_a_broker_make_them() -> None:
    cluster = Cluster("transactions", ledger_topic("transactions", "email"))
    feed = KafkaStatusFeed(
        NOWHERE, [TOPIC], FakeClock(), 24, 100, consumer_class=cluster.client(ClusterConsumer)
    )
    async with feed:
        with pytest.raises(LogUnavailable, match=r"transactions\.email\.deferred"):
            await anext(feed.rest())
        asked = set(cluster.asked)
        cluster.topics |= {
            name(TOPIC.name, group) for name in (ledger_topic, deferred_topic) for group in TOPIC.groups
        }
        some = [events async for events in feed.rest()]

    assert (asked, some) == (set(), [])
    assert cluster.asked == cluster.topics


async def test_a_group_whose_topics_are_not_made_yet_has_not_begun() -> None:
    cluster = Cluster(
        "transactions", *(name("transactions", "email") for name in (ledger_topic, deferred_topic))
    )
    cluster.offsets[SOURCE], cluster.ends[SOURCE] = [0], 1
    scan = KafkaStatusScan(
        NOWHERE, [TOPIC], FakeClock(), 24, print, consumer_class=cluster.client(ClusterConsumer)
    )
    async with scan:
        found = await scan.find("r-1", {"transactions"})

    assert found is not None
    assert {group: one.state for group, one in found.deliveries.items()} == {
        "email": DeliveryState.ACCEPTED,
        "sms": DeliveryState.ACCEPTED,
    }
    assert cluster.asked == cluster.topics
