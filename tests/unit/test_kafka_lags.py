"""How far groups are behind on Kafka: what is asked, without a broker."""

import pytest
from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from adapters.kafka_connection import KafkaConnection
from adapters.kafka_lags import KafkaGroupLags
from domain.errors import LogUnavailable
from domain.log import Shard
from tests.kafka.fakes import REFUSED, FakeAdmin
from tests.unit.test_kafka_reader import Shelf, ShelfConsumer

SHARD = Shard("transactions", 0)


class Topics(ShelfConsumer):
    async def topics(self) -> set[str]:
        return {SHARD.topic}


async def test_a_broker_that_goes_while_records_are_read_is_an_outage_and_no_bug() -> None:
    partition = TopicPartition(SHARD.topic, SHARD.partition)
    broker = Shelf()
    broker.says(offsets=[{partition: OffsetAndMetadata(0, "1 0 0")}])
    broker.ends[partition] = 5
    broker.error = REFUSED
    lags = KafkaGroupLags(
        KafkaConnection(bootstrap_servers="127.0.0.1:1"),
        "herald-",
        timeout_seconds=1.0,
        admin_class=broker.client(FakeAdmin),
        consumer_class=broker.client(Topics),
    )

    async with lags:
        with pytest.raises(LogUnavailable):
            await lags.standings("email", [SHARD])
