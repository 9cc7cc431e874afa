"""Topics on Kafka: what is asked for, and what the answers mean."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import errors

from adapters.kafka_connection import KafkaConnection
from adapters.kafka_topics import KafkaTopicCatalog, check_creation, new_topic
from domain.errors import HeraldError, LogUnavailable
from domain.topic import FOR_EVER, Cleanup, FoundTopic, TopicPlan
from tests.kafka.fakes import REFUSED, FakeAdmin, FakeBroker

CONNECTION = KafkaConnection(bootstrap_servers="127.0.0.1:1")


def plan(**changes: Any) -> TopicPlan:
    return TopicPlan(
        **{"name": "transactions", "partitions": 6, "replication_factor": 0, "retention_ms": 1000, **changes}
    )


def described(
    name: str = "transactions", leader: int = 1, error: int = 0, partitions: int = 2
) -> dict[str, Any]:
    shapes = [{"partition": n, "leader": leader, "replicas": [1, 2, 3][: 3 - n]} for n in range(partitions)]
    return {"topic": name, "error_code": error, "partitions": shapes}


def configured(name: str, code: int = 0, **settings: str) -> list[Any]:
    """What a broker tells of a resource; `_` stands for a dot."""
    entries: list[Any] = [
        (key.replace("_", "."), value, False, True, False, []) for key, value in settings.items()
    ]
    return [SimpleNamespace(resources=[(code, None, 2, name, entries)])]


USUAL = configured("transactions", retention_ms="1000", segment_ms="7000", cleanup_policy="delete")


class Catalog(KafkaTopicCatalog):
    """A catalog whose broker says what is usual, but for `answers`."""

    def __init__(self, seconds: float = 1.0, **answers: Sequence[Any]) -> None:
        usual = {
            "topics": [[described()]],
            "settings": [USUAL],
            "created": [[("transactions", 0, None)]],
        }
        self.broker = FakeBroker().says(**(usual | answers))
        super().__init__(CONNECTION, timeout_seconds=seconds, admin_class=self.broker.client(FakeAdmin))


@pytest.mark.parametrize(
    ("wanted", "brokers", "copies", "in_sync"),
    [(0, 1, 1, "1"), (0, 2, 2, "1"), (0, 5, 3, "2"), (2, 5, 2, "1")],
)
def test_replication_and_what_must_be_in_sync(wanted: int, brokers: int, copies: int, in_sync: str) -> None:
    topic = new_topic(plan(replication_factor=wanted), brokers, 0)

    assert topic.replication_factor == copies
    assert topic.topic_configs == {
        "retention.ms": "1000",
        "min.insync.replicas": in_sync,
        "cleanup.policy": "delete",
    }


def test_what_is_kept_by_key_is_compacted_soon_and_forgotten_never() -> None:
    topic = new_topic(plan(cleanup=Cleanup.COMPACT, retention_ms=FOR_EVER), 1, 0)

    assert topic.topic_configs == {
        "retention.ms": "-1",
        "min.insync.replicas": "1",
        "cleanup.policy": "compact",
        "segment.bytes": str(16 * 1024 * 1024),
        "segment.ms": "3600000",
        "min.cleanable.dirty.ratio": "0.1",
    }


def test_heralds_own_topics_take_more_than_the_brokers_limit() -> None:
    topic = new_topic(plan(extra_message_bytes=65_536), 1, 1_048_588)

    assert topic.topic_configs["max.message.bytes"] == "1114124"


async def test_found_are_the_numbers_that_kafka_has() -> None:
    async with Catalog() as topics:
        found = await topics.find({"transactions", "missing"})

    # The partition with the fewest copies counts.
    assert found == {
        "transactions": FoundTopic(
            name="transactions",
            partitions=2,
            replication_factor=2,
            retention_ms=1000,
            cleanup=Cleanup.DELETE,
            segment_ms=7000,
        )
    }


@pytest.mark.parametrize(
    ("policy", "cleanup"),
    [
        ("compact", Cleanup.COMPACT),
        ("compact,delete", Cleanup.BOTH),
        ("delete,compact", Cleanup.BOTH),
        ("", Cleanup.NEVER),
    ],
)
async def test_how_a_topic_is_forgotten_is_told(policy: str, cleanup: Cleanup) -> None:
    settings = configured("transactions", retention_ms="1", segment_ms="1", cleanup_policy=policy)
    found = await Catalog(settings=[settings]).find({"transactions"})

    assert found["transactions"].cleanup is cleanup


async def test_nothing_is_asked_when_nothing_is_looked_for() -> None:
    topics = Catalog()
    found = await topics.find(set())
    await topics.create([])

    assert found == {}
    assert topics.broker.clients == []


async def test_a_topic_without_a_description_is_not_taken_for_missing() -> None:
    with pytest.raises(LogUnavailable, match="topic transactions"):
        await Catalog(topics=[[described(error=5)]]).find({"transactions"})


async def test_a_topic_without_its_retention_is_not_guessed_at() -> None:
    with pytest.raises(LogUnavailable, match=r"retention\.ms of topic transactions"):
        await Catalog(settings=[configured("transactions", code=7)]).find({"transactions"})


@pytest.mark.parametrize("code", [29, 31])
async def test_settings_that_are_forbidden_are_not_waited_for(code: int) -> None:
    with pytest.raises(HeraldError, match="allow it DescribeConfigs") as raised:
        await Catalog(settings=[configured("transactions", code=code)]).find({"transactions"})

    assert not isinstance(raised.value, LogUnavailable)


async def test_none_of_them_exists() -> None:
    assert await Catalog().find({"missing"}) == {}


async def test_creating_waits_for_leaders() -> None:
    later = [[], [described(leader=-1)], [described(error=5)], [described()]]
    topics = Catalog(topics=later, settings=[configured("1", message_max_bytes="1048588")])
    await topics.create([plan(extra_message_bytes=12)])

    [topic] = topics.broker.newest.plans
    assert (topic.name, topic.num_partitions, topic.replication_factor) == ("transactions", 6, 3)
    assert topic.topic_configs["max.message.bytes"] == "1048600"
    assert list(topics.broker.script["topics"]) == [[described()]]


async def test_leaders_that_never_come_are_told_in_time() -> None:
    with pytest.raises(LogUnavailable, match="in time"):
        await Catalog(seconds=0.02, topics=[[described(leader=-1)]]).create([plan()])


async def test_an_unknown_limit_of_the_brokers_is_told() -> None:
    with pytest.raises(LogUnavailable, match=r"message\.max\.bytes"):
        await Catalog(settings=[configured("1", code=7)]).create([plan(extra_message_bytes=12)])


async def test_brokers_that_are_away_are_told_with_their_address() -> None:
    topics = Catalog()
    topics.broker.starts.append(REFUSED)
    with pytest.raises(LogUnavailable, match=r"no Kafka broker can be reached.*127\.0\.0\.1:1"):
        await topics.find({"transactions"})

    assert topics.broker.newest.stopped == 1


async def test_a_cluster_without_a_controller_is_unavailable() -> None:
    # So aiokafka says it: it takes the controller for granted.
    no_controller = AttributeError("'NoneType' object has no attribute 'nodeId'")
    with pytest.raises(LogUnavailable):
        await Catalog(created=[no_controller]).create([plan()])


async def test_a_plan_refused_for_good_is_told_in_one_line() -> None:
    refusal = ("transactions", errors.InvalidReplicationFactorError.errno, "only 1 broker\nis there")
    with pytest.raises(HeraldError, match="refuses to create topic transactions: only 1 broker is there"):
        await Catalog(created=[[refusal]]).create([plan()])


async def test_one_that_exists_already_is_fine() -> None:
    exists = ("transactions", errors.TopicAlreadyExistsError.errno, "Topic 'transactions' already exists.")
    topics = Catalog(created=[[exists]])
    await topics.create([plan()])

    assert len(topics.broker.newest.plans) == 1


@pytest.mark.parametrize("code", [errors.NotControllerError.errno, errors.RequestTimedOutError.errno])
def test_a_passing_refusal_may_be_tried_again(code: int) -> None:
    with pytest.raises(LogUnavailable, match="try again"):
        check_creation("transactions", code, "busy")


def test_an_old_broker_gives_no_words() -> None:
    with pytest.raises(HeraldError, match="InvalidTopicError"):
        check_creation("a/b", errors.InvalidTopicError.errno)
