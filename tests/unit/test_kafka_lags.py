"""How far groups are behind on Kafka: what is asked, without a broker."""

import asyncio

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
PARTITION = TopicPartition(SHARD.topic, SHARD.partition)
AT_THE_BEGINNING = {PARTITION: OffsetAndMetadata(0, "1 0 0")}
AT_THE_END = {PARTITION: OffsetAndMetadata(5, "1 5 5")}


class Topics(ShelfConsumer):
    asked = 0

    async def topics(self) -> set[str]:
        self.asked += 1
        return {SHARD.topic}


class SilentAdmin(FakeAdmin):
    """Answers once."""

    answered = 0

    async def list_consumer_group_offsets(self, group_id: str, partitions: list[TopicPartition]) -> object:
        self.answered += 1
        if self.answered > 1:
            await asyncio.Event().wait()
        return await super().list_consumer_group_offsets(group_id, partitions)


def lags_of(broker: Shelf, admin: type[FakeAdmin] = FakeAdmin, seconds: float = 5.0) -> KafkaGroupLags:
    broker.ends[PARTITION] = 5
    return KafkaGroupLags(
        KafkaConnection(bootstrap_servers="127.0.0.1:1"),
        "herald-",
        timeout_seconds=seconds,
        admin_class=broker.client(admin),
        consumer_class=broker.client(Topics),
    )


async def test_a_broker_that_goes_while_records_are_read_is_an_outage_and_no_bug() -> None:
    broker = Shelf()
    broker.says(offsets=[AT_THE_BEGINNING])
    broker.error = REFUSED

    async with lags_of(broker, seconds=1.0) as lags:
        with pytest.raises(LogUnavailable):
            await lags.standings("email", [SHARD])


async def test_who_looks_again_and_again_opens_nothing_and_asks_for_all_topics_once() -> None:
    broker = Shelf()
    broker.says(offsets=[AT_THE_END])
    async with lags_of(broker) as lags:
        for _ in range(3):
            await lags.standings("email", [SHARD])
        stopped = [client.stopped for client in broker.clients]

    consumer, admin = broker.clients
    assert consumer.asked == 1
    assert stopped == [0, 0]
    assert (consumer.stopped, admin.stopped) == (1, 1)


async def test_after_a_failure_whether_the_topics_are_there_is_asked_anew() -> None:
    broker = Shelf()
    broker.says(offsets=[AT_THE_END, AT_THE_BEGINNING, AT_THE_END])
    async with lags_of(broker) as lags:
        await lags.standings("email", [SHARD])
        broker.error = REFUSED
        with pytest.raises(LogUnavailable):
            await lags.standings("email", [SHARD])
        broker.error = None
        await lags.standings("email", [SHARD])

    consumers = [client for client in broker.clients if isinstance(client, Topics)]
    assert [consumer.asked for consumer in consumers] == [1, 1]


async def test_a_question_that_fails_is_asked_again_of_a_new_client() -> None:
    broker = Shelf()
    broker.says(offsets=[AT_THE_END, REFUSED, AT_THE_END])
    async with lags_of(broker) as lags:
        await lags.standings("email", [SHARD])
        [standing] = await lags.standings("email", [SHARD])

    admins = [client for client in broker.clients if isinstance(client, FakeAdmin)]
    assert standing.position is not None
    assert [admin.stopped for admin in admins] == [1, 1]


async def test_after_somebody_lost_patience_a_new_client_is_asked() -> None:
    broker = Shelf()
    broker.says(offsets=[AT_THE_END])
    async with lags_of(broker, SilentAdmin) as lags:
        await lags.standings("email", [SHARD])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await lags.standings("email", [SHARD])
        [standing] = await lags.standings("email", [SHARD])

    assert standing.position is not None
