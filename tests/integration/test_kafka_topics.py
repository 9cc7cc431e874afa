"""What only a real broker can say about the topics that Herald makes."""

from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from adapters.kafka_connection import KafkaConnection
from adapters.kafka_topics import KafkaTopicCatalog
from domain.topic import TopicPlan, dead_letter_topic

pytestmark = pytest.mark.kafka
LARGE = 3_000_000
ON_TOP = 65_536


async def test_dead_letters_take_what_their_source_takes_and_the_headers_on_top(kafka_address: str) -> None:
    source = f"large-{uuid4().hex[:8]}"
    own = dead_letter_topic(source, "email")
    plan = TopicPlan(
        name=own,
        partitions=1,
        replication_factor=1,
        retention_ms=86_400_000,
        extra_message_bytes=ON_TOP,
        beside=source,
    )
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_address)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(source, 1, 1, topic_configs={"max.message.bytes": str(LARGE)})])
        async with KafkaTopicCatalog(KafkaConnection(bootstrap_servers=kafka_address)) as catalog:
            await catalog.create([plan])
        asked = ConfigResource(ConfigResourceType.TOPIC, own, {"max.message.bytes": None})
        [answer] = await admin.describe_configs([asked])
    finally:
        await admin.close()

    [[_, _, _, _, [entry]]] = [resource[:5] for resource in answer.resources]
    assert entry[1] == str(LARGE + ON_TOP)
