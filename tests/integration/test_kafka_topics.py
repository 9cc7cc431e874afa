"""What only a real broker can say about the topics that Herald makes."""

from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from adapters.kafka_connection import KafkaConnection
from adapters.kafka_topics import KafkaTopicCatalog
from application.apply_topics import ApplyTopics
from application.topic_plans import own_topics
from domain.topic import Topic, TopicPlan, dead_letter_topic

pytestmark = pytest.mark.kafka
LARGE = 3_000_000
ON_TOP = 65_536


async def settings_of(address: str, topic: str) -> dict[str, str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        [answer] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    finally:
        await admin.close()
    [[_, _, _, _, entries]] = [resource[:5] for resource in answer.resources]
    return {entry[0]: entry[1] for entry in entries}


async def test_what_stands_beside_a_topic_is_made_as_herald_needs_it_and_found_right(
    kafka_address: str,
) -> None:
    topic = Topic(name=f"own-{uuid4().hex[:8]}", partitions=2, retention_hours=3, groups=("email",))
    async with KafkaTopicCatalog(KafkaConnection(bootstrap_servers=kafka_address)) as catalog:
        apply = ApplyTopics(catalog, [topic], 1)
        made = await apply()
        again = await apply()
        partitions = {listed.plan.name: listed.partitions for listed in await apply.list_topics()}
    names = (topic.name, *own_topics(topic.name, "email"))
    source, ledger, deferred, letters, orders = [await settings_of(kafka_address, name) for name in names]

    assert (made.created, again.created) == (names, ())
    assert [partitions[name] for name in names] == [2, 2, 2, 1, 1]
    assert ledger["cleanup.policy"] == letters["cleanup.policy"] == "delete"
    assert int(ledger["retention.ms"]) == sum(
        [int(source["retention.ms"]), int(source["segment.ms"]), 86_400_000]
    )
    assert deferred["cleanup.policy"] == orders["cleanup.policy"] == "compact"
    assert (deferred["segment.bytes"], deferred["segment.ms"]) == (str(16 * 1024 * 1024), "3600000")
    assert (deferred["min.cleanable.dirty.ratio"], deferred["retention.ms"]) == ("0.1", "-1")
    assert int(deferred["max.message.bytes"]) == int(source["max.message.bytes"]) + ON_TOP


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
