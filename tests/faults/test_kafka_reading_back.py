"""Reading back what was noted, where a broker's answers are full and the way to it is slow."""

import asyncio

import pytest
from aiokafka import TopicPartition

from adapters.kafka_publisher import KafkaPublisher
from adapters.kafka_reader import PARTITION_BYTES, KafkaReader
from domain.log import NewRecord, Receipt
from tests.contracts.rig import PARTITIONS
from tests.kafka.proxy import proxied_cluster
from tests.kafka.rig import KafkaRig

pytestmark = pytest.mark.kafka

RECORDS = 4
LARGE = PARTITION_BYTES + 10_000  # then the broker gives a record to the first one of a request alone


async def test_what_found_no_room_in_a_slow_answer_is_not_taken_for_gone() -> None:
    cluster, proxy = proxied_cluster()
    with cluster:
        async with proxy.serving():
            rig = await KafkaRig(proxy.address).make_topics()
            await publish_large_ones(rig)
            proxy.delay = 0.3
            reader = KafkaReader(rig.connection)
            counts = await asyncio.gather(*[count(reader, rig, number) for number in range(PARTITIONS)])
            await reader.close()

    assert counts == [RECORDS] * PARTITIONS


async def publish_large_ones(rig: KafkaRig) -> None:
    records = [NewRecord(rig.shard(number), None, b"x" * LARGE) for number in range(PARTITIONS)]
    async with KafkaPublisher(rig.connection) as publisher:
        for _ in range(RECORDS):
            answers = await publisher.publish(records)
            assert [type(answer) for answer in answers] == [Receipt] * PARTITIONS


async def count(reader: KafkaReader, rig: KafkaRig, number: int) -> int:
    slices = reader.read(TopicPartition(rig.topic, number), 0, RECORDS)
    return sum([len(some) async for some in slices])
