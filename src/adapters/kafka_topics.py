"""`TopicCatalog` over Kafka."""

import asyncio
import itertools
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Self

from aiokafka import errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from adapters.kafka_admin import AdminClass, admin_client
from adapters.kafka_connection import KafkaConnection
from domain.errors import HeraldError, LogUnavailable
from domain.topic import Cleanup, FoundTopic, TopicPlan

MOST_COPIES = 3
SAFE_COPIES = 2
NO_LEADER = -1
POLL_SECONDS = 0.1
# Kafka compacts whole segments, and none that is still written to.
QUICK_COMPACTION = {
    "segment.bytes": str(16 << 20),
    "segment.ms": str(60 * 60 * 1000),
    "min.cleanable.dirty.ratio": "0.1",
}

# Answers to `create_topics` after which the same call may be made again.
_PASSING = {
    errors.RequestTimedOutError.errno,
    errors.NotControllerError.errno,
    errors.GroupCoordinatorNotAvailableError.errno,
    errors.BrokerNotAvailableError.errno,
    errors.LeaderNotAvailableError.errno,
    errors.UnknownError.errno,
}


# Waiting does not help against these.
_FORBIDDEN = {errors.TopicAuthorizationFailedError.errno, errors.ClusterAuthorizationFailedError.errno}
_ALLOW = "allow it DescribeConfigs on the topics and the cluster"


class KafkaTopicCatalog:
    """The topics of a Kafka cluster. Each call is over within `timeout_seconds`."""

    def __init__(
        self,
        connection: KafkaConnection,
        *,
        timeout_seconds: float = 20.0,
        admin_class: AdminClass = AIOKafkaAdminClient,
    ) -> None:
        self._connection = connection
        self._timeout = timeout_seconds
        self._admin_class = admin_class

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def find(self, names: AbstractSet[str]) -> Mapping[str, FoundTopic]:
        """See the port."""
        if not names:
            return {}
        async with admin_client(self._connection, self._admin_class, self._timeout) as admin:
            # All topics are asked for: asking for one by name lets a broker that creates topics
            # by itself create it.
            shapes = await _shapes(admin, names)
            settings = await _topic_settings(admin, shapes, "retention.ms", "segment.ms", "cleanup.policy")
        return {name: _found(name, shapes[name], settings[name]) for name in shapes}

    async def create(self, plans: Sequence[TopicPlan]) -> None:
        """See the port. Returns when every partition has a leader."""
        if not plans:
            return
        async with admin_client(self._connection, self._admin_class, self._timeout) as admin:
            brokers = [broker["node_id"] for broker in (await admin.describe_cluster())["brokers"]]
            limits = await _message_limits(admin, brokers[0], plans)
            topics = [new_topic(plan, len(brokers), limits.get(plan.name, 0)) for plan in plans]
            answer = await admin.create_topics(topics)
            for topic_error in answer.topic_errors:
                check_creation(*topic_error)
            await _await_leaders(admin, {plan.name for plan in plans})


def new_topic(plan: TopicPlan, brokers: int, largest_message: int) -> NewTopic:
    """The plan in aiokafka's form. `largest_message`: in bytes, what the topic beside it takes."""
    copies = plan.replication_factor or min(MOST_COPIES, brokers)
    settings = {
        "retention.ms": str(plan.retention_ms),
        "min.insync.replicas": str(SAFE_COPIES if copies >= MOST_COPIES else 1),
        "cleanup.policy": plan.cleanup.value,
    }
    if plan.cleanup is Cleanup.COMPACT:
        settings |= QUICK_COMPACTION
    if plan.segment_ms is not None:
        settings["segment.ms"] = str(plan.segment_ms)
    if plan.stamped_by_log:
        settings["message.timestamp.type"] = "LogAppendTime"
    if plan.extra_message_bytes:
        settings["max.message.bytes"] = str(largest_message + plan.extra_message_bytes)
    return NewTopic(plan.name, plan.partitions, copies, topic_configs=settings)


def _found(name: str, shape: Sequence[Mapping[str, Any]], settings: Mapping[str, str]) -> FoundTopic:
    policies = sorted(filter(None, settings["cleanup.policy"].split(",")))
    return FoundTopic(
        name=name,
        partitions=len(shape),
        replication_factor=min(len(p["replicas"]) for p in shape),
        retention_ms=int(settings["retention.ms"]),
        cleanup=Cleanup(",".join(policies)) if policies else Cleanup.NEVER,
        segment_ms=int(settings["segment.ms"]),
    )


def check_creation(topic: str, code: int, message: str | None = None) -> None:
    """Raises what one topic's answer to its creation means; one that exists already is fine."""
    if code in {0, errors.TopicAlreadyExistsError.errno}:
        return
    name = errors.for_code(code).__name__
    if code in _PASSING:
        raise LogUnavailable(f"Kafka could not create topic {topic} now ({name}); try again")
    raise HeraldError(f"Kafka refuses to create topic {topic}: {' '.join((message or name).split())}")


async def _message_limits(admin: Any, broker: int, plans: Sequence[TopicPlan]) -> dict[str, int]:
    """For each plan with something on top: the bytes of a message that it is on top of."""
    sources = {plan.name: plan.beside for plan in plans if plan.extra_message_bytes}
    if not sources:
        return {}
    usual = await _largest_message(admin, broker)
    named = {source for source in sources.values() if source}
    existing = await _shapes(admin, named) if named else {}
    own = await _topic_settings(admin, existing, "max.message.bytes")
    own_limits = {name: int(settings["max.message.bytes"]) for name, settings in own.items()}
    return {name: own_limits.get(source or "", usual) for name, source in sources.items()}


async def _shapes(admin: Any, names: AbstractSet[str]) -> dict[str, list[Mapping[str, Any]]]:
    """The partitions of those topics that exist."""
    found = {}
    for topic in await admin.describe_topics():
        if topic["topic"] not in names:
            continue
        if topic["error_code"] or not topic["partitions"]:
            raise LogUnavailable(f"Kafka does not describe topic {topic['topic']} now; try again")
        found[topic["topic"]] = topic["partitions"]
    return found


async def _topic_settings(admin: Any, names: Mapping[str, Any], *asked: str) -> dict[str, dict[str, str]]:
    """Each topic's settings of these names."""
    if not names:
        return {}
    values = await _settings(admin, ConfigResourceType.TOPIC, names, asked)
    for name, setting in itertools.product(names, asked):
        if setting not in values.get(name, {}):
            raise LogUnavailable(f"Kafka does not tell {setting} of topic {name}; try again")
    return values


async def _largest_message(admin: Any, broker: int) -> int:
    setting = "message.max.bytes"
    values = await _settings(admin, ConfigResourceType.BROKER, [str(broker)], [setting])
    if setting not in values.get(str(broker), {}):
        raise LogUnavailable("Kafka does not tell message.max.bytes; try again")
    return int(values[str(broker)][setting])


async def _settings(
    admin: Any, kind: ConfigResourceType, names: Iterable[str], asked: Iterable[str]
) -> dict[str, dict[str, str]]:
    """What each resource told of the asked settings, by the resource's name."""
    resources = [ConfigResource(kind, name, dict.fromkeys(asked)) for name in names]
    values = {}
    for answer in await admin.describe_configs(resources):
        for code, _message, _kind, name, entries, *_ in answer.resources:
            if code in _FORBIDDEN:
                what = f"topic {name}" if kind is ConfigResourceType.TOPIC else "the brokers"
                raise HeraldError(f"Kafka does not let this user see the settings of {what}: {_ALLOW}")
            if not code:
                values[name] = {entry[0]: entry[1] for entry in entries}
    return values


async def _await_leaders(admin: Any, names: AbstractSet[str]) -> None:
    """A topic just created has no leaders for a moment, and then refuses every record."""
    while True:
        topics = [topic for topic in await admin.describe_topics() if topic["topic"] in names]
        if len(topics) == len(names) and all(_is_led(topic) for topic in topics):
            return
        await asyncio.sleep(POLL_SECONDS)


def _is_led(topic: Mapping[str, Any]) -> bool:
    partitions = topic["partitions"]
    return not topic["error_code"] and bool(partitions) and all(p["leader"] != NO_LEADER for p in partitions)
