"""Processes of a group come, go and fall silent: nothing is lost, repeated or read back without need."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer

from adapters.kafka_notes import record_of_note
from adapters.kafka_publisher import BATCH_BYTES, KafkaPublisher
from domain.ledger import LedgerRecord, State, digest_of
from domain.log import Assigned, Lost, Position, Receipt, Shard
from tests.kafka.cluster import KafkaCluster
from tests.kafka.group import GROUP, TIMES, Group, Member
from tests.kafka.pace import Pace, own_time
from tests.kafka.proxy import KafkaProxy, proxied_cluster
from tests.site import eventually

pytestmark = pytest.mark.kafka
WINDOW = 100_000
KEYS = 12


@pytest.fixture(scope="module")
def broker() -> Iterator[tuple[KafkaCluster, KafkaProxy]]:
    cluster, proxy = proxied_cluster()
    with cluster:
        yield cluster, proxy


class Load:
    """A client that waits for each answer. `posted`: what the log has."""

    def __init__(self, group: Group, pause: float = 0.05) -> None:
        self._group = group
        self._pause = pause
        self.posted: list[str] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        posting = asyncio.create_task(self._post())
        try:
            yield
        finally:
            posting.cancel()
            await asyncio.gather(posting, return_exceptions=True)

    async def _post(self) -> None:
        async with KafkaPublisher(self._group.connection) as publisher:
            for number in itertools.count():
                batch = [f"key{key}-{number}" for key in range(KEYS)]
                answers = await publisher.publish([self._group.record(one) for one in batch])
                confirmed = [isinstance(answer, Receipt) for answer in answers]
                self.posted += itertools.compress(batch, confirmed)
                await asyncio.sleep(self._pause)

    async def grows_by(self, more: int) -> bool:
        wanted = len(self.posted) + more

        async def so_many() -> bool:
            return len(self.posted) >= wanted

        return await eventually(so_many, 60.0)


def repeats(group: Group) -> int:
    return sum(times - 1 for times in Counter(group.received()).values())


async def test_loading_longer_than_the_session_lasts_makes_no_second_rebalance(kafka_address: str) -> None:
    group = Group(kafka_address)
    await group.make_topics()
    ids = [f"key{n % 3}-{n}" for n in range(30)]
    await group.post(ids)
    begun = time.monotonic()
    async with group.member(recall_delay=TIMES["session"] + 2.0) as member:
        arrived = await group.has_received(ids)
        took = time.monotonic() - begun
        rebalances = [type(event) for _, event in member.log.rebalances]

    assert arrived
    assert took > TIMES["session"]
    assert rebalances == [Assigned]
    assert len(group.received()) == len(ids)


async def test_a_shard_that_comes_back_to_the_same_process_is_not_read_back_again(kafka_address: str) -> None:
    group = Group(kafka_address, partitions=4)
    await group.make_topics()
    ids = [f"{key}-{n}" for key in "abcdefgh" for n in range(25)]
    await group.post(ids)
    async with group.member() as first:
        assert await group.has_received(ids)
        recalled = len(first.ledger.recalls)
        async with group.member() as second:
            assert await second.holds(2)
            assert await first.holds(2)
            later = [f"{key}-{n}" for key in "abcdefgh" for n in range(25, 30)]
            await group.post(later)
            assert await group.has_received(ids + later)
            kept = first.shards
            again = first.ledger.recalls[recalled:]
            moved = second.ledger.recalls

    assert {shard for shard, _, _ in again} == kept
    assert sum(found for _, _, found in again) == 0
    # The other process knew nothing yet of what it was given.
    given = {shard for shard, _, _ in moved}
    assert sum(found for _, _, found in moved) == sum(group.record(one).shard in given for one in ids)
    assert len(group.received()) == len(ids + later)


async def test_consumers_that_join_and_leave_under_load_lose_nothing_and_repeat_nothing(
    kafka_address: str,
) -> None:
    group = Group(kafka_address, partitions=6)
    await group.make_topics()
    load = Load(group)
    async with load.running(), group.member() as first:
        assert await first.holds(6)
        assert await load.grows_by(100)
        async with group.member() as second:
            assert await second.holds(3)
            assert await load.grows_by(100)
            async with group.member() as third:
                assert await third.holds(2)
                assert await load.grows_by(100)
            assert await second.holds(3)
            assert await load.grows_by(100)
        assert await first.holds(6)
        assert await load.grows_by(100)
        posted = list(load.posted)
        assert await group.has_received(posted)

    assert repeats(group) == 0
    firsts = group.firsts_by_key()
    assert {key: list(numbers) for key, numbers in firsts.items()} == {
        key: sorted(numbers) for key, numbers in firsts.items()
    }


async def test_shards_of_a_process_that_fell_silent_go_to_another_and_it_drops_them(
    broker: tuple[KafkaCluster, KafkaProxy],
) -> None:
    cluster, proxy = broker
    group = Group(cluster.bootstrap_servers, partitions=4)
    await group.make_topics()
    load = Load(group)
    async with (
        proxy.serving(),
        load.running(),
        group.member() as healthy,
        group.member(proxy.address) as silent,
    ):
        assert await healthy.holds(2)
        assert await silent.holds(2)
        assert await load.grows_by(100)
        with proxy.stopped_up():
            assert await healthy.holds(4)
            assert await load.grows_by(100)
            assert await group.has_received(list(load.posted))
        assert await silent.holds(2)
        assert await load.grows_by(100)
        assert await group.has_received(list(load.posted))
        lost = [event for _, event in silent.log.rebalances if isinstance(event, Lost)]

    assert len(lost) == 1
    assert repeats(group) <= 2 * 8
    firsts = group.firsts_by_key()
    assert {key: list(numbers) for key, numbers in firsts.items()} == {
        key: sorted(numbers) for key, numbers in firsts.items()
    }


async def test_with_full_windows_delivery_resumes_within_10_seconds_of_a_join(
    broker: tuple[KafkaCluster, KafkaProxy],
) -> None:
    cluster, _ = broker
    group = Group(cluster.bootstrap_servers, partitions=6, settings={"dedupe_messages": WINDOW})
    await group.make_topics()
    await fill_windows(group)
    load = Load(group, pause=0.3)
    pace = Pace()
    async with load.running(), pace.measured():
        begun = own_time()
        async with group.member() as first:
            assert await first.holds(6)
            alone = await resumed(group, first) - begun
            while_loading = [type(event) for _, event in first.log.rebalances]
            begun = own_time()
            async with group.member() as second:
                assert await second.holds(3)
                shared = await resumed(group, second) - begun

    # Seconds of a usual machine: most of it is Python that reads notes back, and some machines are slower.
    assert max(alone, shared) < 10 * pace.slowness
    assert while_loading == [Assigned]
    assert [found for _, _, found in first.ledger.recalls[:6]] == [WINDOW] * 6
    assert repeats(group) == 0


async def fill_windows(group: Group) -> None:
    """As after a long time: each shard's ledger tells of as many sent messages as are remembered."""
    shards = [group.shard(partition) for partition in range(group.partitions)]
    await group.post([f"first-{shard.partition}" for shard in shards[:1]], 0)
    for shard in shards[1:]:
        await group.post([f"first-{shard.partition}"], shard.partition)
    sent = [record_of_note(shards[0], GROUP, entry(f"sent-{n}")) for n in range(WINDOW - 1)]
    async with AIOKafkaProducer(
        bootstrap_servers=group.address, acks="all", max_batch_size=BATCH_BYTES
    ) as producer:
        for shard in shards:
            first = group.record(f"first-{shard.partition}", shard.partition)
            last = record_of_note(shard, GROUP, entry(f"first-{shard.partition}", digest_of(first.value)))
            await write(producer, last.shard, [one.value for one in (*sent, last)])
    await group.commit_by_hand(dict.fromkeys(shards, Position(1, "1 0 0")))


def entry(request_id: str, digest: int = 1) -> LedgerRecord:
    return LedgerRecord(
        offset=0,
        request_id=request_id.ljust(36, "."),
        digest=digest,
        state=State.SENT,
        attempts=1,
        provider_id="250 2.0.0 Ok: queued as 4WxYz1",
        low=0,
        at=1_800_000_000.0,
    )


async def write(producer: AIOKafkaProducer, shard: Shard, values: Sequence[bytes | None]) -> None:
    batch = producer.create_batch()
    for value in values:
        while batch.append(timestamp=None, key=None, value=value) is None:
            await (await producer.send_batch(batch, shard.topic, partition=shard.partition))
            batch = producer.create_batch()
    await (await producer.send_batch(batch, shard.topic, partition=shard.partition))


async def resumed(group: Group, joined: Member) -> float:
    """When every shard had delivered again since this process was given its own."""
    given = next(at for at, event in reversed(joined.log.rebalances) if isinstance(event, Assigned))
    firsts: dict[Shard, float] = {}

    async def all_there() -> bool:
        for one, at in zip(group.received(), group.sender.at, strict=False):
            if at > given:
                firsts.setdefault(group.record(one).shard, at)
        return len(firsts) == group.partitions

    assert await eventually(all_there, 60.0)
    return max(firsts.values())
