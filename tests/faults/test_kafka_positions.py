"""What a group knows of its place is lost, or does not fit: it goes on where it was, or says why not."""

import logging
import time
from collections.abc import Callable, Iterator

import pytest

from adapters.kafka_publisher import KafkaPublisher
from domain.ledger import deferred_topic, ledger_topic
from domain.log import NewRecord, Position, Shard
from tests.contracts.rig import Reader
from tests.kafka.cluster import KafkaCluster
from tests.kafka.group import Group
from tests.kafka.proxy import KafkaProxy, proxied_cluster
from tests.kafka.rig import KafkaRig
from tests.site import eventually

pytestmark = pytest.mark.kafka
TWO_DAYS_MS = 2 * 86_400_000


@pytest.fixture(scope="module")
def broker() -> Iterator[tuple[KafkaCluster, KafkaProxy]]:
    cluster, proxy = proxied_cluster()
    with cluster:
        yield cluster, proxy


@pytest.fixture
async def group(kafka_address: str) -> Group:
    group = Group(kafka_address)
    await group.make_topics()
    return group


def ids(key: str, *numbers: int) -> list[str]:
    return [f"{key}-{number}" for number in numbers]


async def delivered(group: Group, *wanted: str) -> None:
    """Has one process deliver these and end."""
    async with group.member():
        assert await group.has_received(wanted)


async def test_a_position_that_kafka_does_not_tell_is_asked_for_until_it_does(
    broker: tuple[KafkaCluster, KafkaProxy],
) -> None:
    cluster, proxy = broker
    group = Group(cluster.bootstrap_servers)
    await group.make_topics()
    await group.post(ids("a", *range(10)), 0)
    await delivered(group, *ids("a", *range(10)))
    await group.post(ids("a", *range(10, 20)), 0)

    async def refused_for_a_while() -> bool:
        return proxy.refusals >= 5

    async with proxy.serving():
        proxy.refuses = True
        async with group.member(proxy.address):
            refused = await eventually(refused_for_a_while)
            meanwhile = group.received()
            proxy.refuses = False
            arrived = await group.has_received(ids("a", *range(20)))

    assert refused
    assert meanwhile == ids("a", *range(10))
    assert arrived
    assert group.received() == ids("a", *range(20))


async def test_positions_that_kafka_forgot_are_found_in_the_ledger(
    group: Group, caplog: pytest.LogCaptureFixture
) -> None:
    await group.post(ids("a", *range(10)), 0)
    await delivered(group, *ids("a", *range(10)))
    await group.forget_positions()
    await group.post(ids("a", *range(10, 15)), 0)
    with caplog.at_level(logging.WARNING):
        await delivered(group, *ids("a", *range(15)))

    assert group.received() == ids("a", *range(15))
    [said] = [line for line in caplog.records if getattr(line, "action", "") == "position_forgotten"]
    assert (said.levelno, getattr(said, "partition", None)) == (logging.WARNING, 0)
    assert (await group.positions())[group.shard()].offset == 15


@pytest.mark.parametrize("count", [3, 30], ids=["shorter", "longer"])
async def test_a_topic_made_anew_stops_the_shard_that_it_does_not_fit(group: Group, count: int) -> None:
    await group.post(ids("old", *range(10)), 0)
    await delivered(group, *ids("old", *range(10)))
    await group.make_topic_anew()
    await group.post(ids("new", *range(count)), 0)
    await group.post(ids("other", 1), 1)
    async with group.member() as member:
        others = await group.has_received(ids("other", 1))
        unready = await member.comes_to_say("made anew")

    assert others
    assert unready
    assert group.received() == [*ids("old", *range(10)), *ids("other", 1)]


async def test_a_topic_made_anew_under_a_running_group_delivers_nothing_of_it(group: Group) -> None:
    await group.post(ids("old", *range(10)), 0)
    async with group.member() as member:
        assert await group.has_received(ids("old", *range(10)))
        await group.make_topic_anew()
        await group.post(ids("new", *range(3)), 0)
        unready = await member.comes_to_say("made anew")

    assert unready
    assert group.received() == ids("old", *range(10))


async def test_a_group_that_retention_overtook_goes_on_at_the_beginning_and_says_how_many_were_lost(
    group: Group, caplog: pytest.LogCaptureFixture
) -> None:
    await group.post(ids("a", *range(10)), 0)
    await delivered(group, *ids("a", *range(10)))
    await group.post(ids("a", *range(10, 20)), 0)
    await group.forget_records(group.shard(), 16)
    async with group.member() as member:
        arrived = await group.has_received(ids("a", *range(16, 20)))
        counted = await member.metric("herald_overtaken_messages_total")

    assert arrived
    assert group.received() == ids("a", *range(10), *range(16, 20))
    assert counted == 6
    [said] = [line for line in caplog.records if getattr(line, "action", "") == "overtaken"]
    assert said.getMessage().startswith("retention deleted 6 messages")


async def test_a_backlog_two_days_old_is_delivered(group: Group) -> None:
    then = int(1000 * time.time()) - TWO_DAYS_MS
    await group.post_at(ids("a", *range(20)), then)
    await delivered(group, *ids("a", *range(20)))

    assert group.received() == ids("a", *range(20))


async def test_a_position_with_a_note_that_this_herald_does_not_know_stops_its_shard(group: Group) -> None:
    for partition in range(3):
        await group.post(ids(f"p{partition}", *range(3)), partition)
    newer, garbage = Position(1, "2 0 0"), Position(1, "\N{SNOWMAN}" * 4096)
    await group.commit_by_hand({group.shard(0): newer, group.shard(1): garbage})
    async with group.member() as member:
        others = await group.has_received(ids("p2", *range(3)))
        unready = await member.comes_to_say("newer Herald")
    kept = await group.positions()

    assert others
    assert unready
    assert group.received() == ids("p2", *range(3))
    assert [kept[group.shard(n)] for n in (0, 1)] == [newer, garbage]


@pytest.mark.parametrize("name", [ledger_topic, deferred_topic])
async def test_a_record_of_a_newer_herald_stops_its_shard(
    group: Group, name: Callable[[str, str], str]
) -> None:
    for partition in (0, 1):
        await group.post(ids(f"p{partition}", *range(3)), partition)
    topic = name(group.topic, "email")
    async with KafkaPublisher(group.connection) as publisher:
        await publisher.publish([NewRecord(Shard(topic, 0), b"0", b"\x02 news", (("herald-version", b"2"),))])
    async with group.member() as member:
        others = await group.has_received(ids("p1", *range(3)))
        unready = await member.comes_to_say(f"record 0 of {topic}-0 is not in a form that this Herald knows")

    assert others
    assert unready
    assert group.received() == ids("p1", *range(3))


async def test_a_note_that_is_too_long_for_kafka_costs_no_position(kafka_address: str) -> None:
    rig = await KafkaRig(kafka_address).make_topics()
    async with rig.log("email") as log:
        reader = Reader(log, rig.patience)
        await reader.until_held(rig.shards())
        await log.commit({rig.shard(0): Position(3, "x" * 4097), rig.shard(1): Position(4, "x" * 4096)})
        kept = [await log.committed(rig.shard(n)) for n in (0, 1)]

    assert kept == [Position(3, ""), Position(4, "x" * 4096)]
