"""Brokers that are away, die, come back, or throw a member out: nothing is lost and nobody has to help."""

import asyncio
import contextlib
import gc
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.protocol.group import LeaveGroupRequest

from adapters.kafka_ledger import KafkaLedger
from adapters.kafka_log import KafkaLog
from adapters.kafka_publisher import KafkaPublisher
from domain.errors import LogUnavailable
from domain.ledger import LedgerRecord, Written, ledger_topic
from domain.log import Assigned, Lost, Position, Receipt, Revoking, Shard, Unconfirmed
from tests.contracts.ledger import entry, recalled
from tests.contracts.rig import PARTITIONS, Reader, both_until, eventually_ready, record, until
from tests.kafka.cluster import KafkaCluster
from tests.kafka.rig import QUICK, KafkaRig

pytestmark = pytest.mark.kafka
PATIENCE = 40.0


async def publish_until(
    publisher: KafkaPublisher, rig: KafkaRig, receipts: dict[str, int], stop: asyncio.Event
) -> None:
    """One client that waits for each answer and goes on with the next message whatever it was."""
    number = 0
    while not stop.is_set():
        number += 1
        [answer] = await publisher.publish([record(rig.shard(), str(number))])
        if isinstance(answer, Receipt):
            receipts[str(number)] = answer.offset
        await asyncio.sleep(0.005)


@pytest.fixture
async def rig(kafka_address: str) -> AsyncIterator[KafkaRig]:
    """On the broker that nobody stops."""
    async with KafkaRig(kafka_address).with_topics(()) as one:
        yield one


async def test_brokers_away_at_the_start_are_waited_for(own_broker: KafkaCluster) -> None:
    rig = await KafkaRig(own_broker.bootstrap_servers).make_topics()
    await asyncio.to_thread(own_broker.kill)
    async with KafkaPublisher(rig.connection, 0.5) as publisher, rig.log("email") as log:
        begun = monotonic()
        answers = await publisher.publish([record(rig.shard(), "early")])
        took = monotonic() - begun
        reasons = [await publisher.unready(), await log.unready()]
        nothing = await log.next_event(frozenset(), 10, 0.1)
        await asyncio.to_thread(own_broker.restart, 0)
        await eventually_ready(publisher, PATIENCE)
        await until_taken(publisher, rig)
        reader = Reader(log, PATIENCE)
        await reader.until_read(1)

    assert isinstance(answers[0], Unconfirmed)
    assert took < 2
    reason = "no Kafka broker can be reached, or none lets us in; check address, TLS and login"
    assert reasons == [reason] * 2
    assert nothing is None
    # The one that was not confirmed was given up before any batch took it.
    assert set(reader.values(rig.shard())) == {"late"}


async def until_taken(publisher: KafkaPublisher, rig: KafkaRig) -> None:
    """A broker that has just begun may take longer than half a second over its first record."""
    async with asyncio.timeout(PATIENCE):
        while not isinstance((await publisher.publish([record(rig.shard(), "late")]))[0], Receipt):
            pass


async def test_a_broker_killed_under_load_loses_no_receipt(own_broker: KafkaCluster) -> None:
    rig = await KafkaRig(own_broker.bootstrap_servers).make_topics()
    receipts: dict[str, int] = {}
    stop = asyncio.Event()
    async with KafkaPublisher(rig.connection, 2.0) as publisher, rig.log("email") as log:
        reader = Reader(log, PATIENCE)
        client = asyncio.create_task(publish_until(publisher, rig, receipts, stop))
        await reader.until_read(20)
        await asyncio.to_thread(own_broker.kill)
        unready = await publisher.unready()
        before = len(receipts)
        await asyncio.to_thread(own_broker.restart, 0)
        await reader.until(lambda: len(receipts) >= before + 50)
        stop.set()
        await client
        await reader.until(lambda: max(receipts.values()) in {one.offset for one in reader.records})

    written = {one.offset: (one.value or b"").decode() for one in await rig.read_all(rig.shard())}
    read = [one.offset for one in reader.records if one.shard == rig.shard()]
    assert unready is not None
    assert {value: written.get(offset) for value, offset in receipts.items()} == {v: v for v in receipts}
    assert read == sorted(set(read))
    assert set(receipts.values()) <= set(read)


async def test_a_leader_killed_under_load_loses_no_receipt(three_brokers: KafkaCluster) -> None:
    rig = KafkaRig(three_brokers.bootstrap_servers)
    rig.replication_factor = 3
    await rig.make_topics()
    receipts: dict[str, int] = {}
    stop = asyncio.Event()
    async with KafkaPublisher(rig.connection, 8.0) as publisher, rig.log("email") as log:
        reader = Reader(log, PATIENCE)
        client = asyncio.create_task(publish_until(publisher, rig, receipts, stop))
        await reader.until_read(20)
        leader = await rig.leader(rig.shard())
        await asyncio.to_thread(three_brokers.kill, leader)
        before = len(receipts)
        await reader.until(lambda: len(receipts) >= before + 50)
        await asyncio.to_thread(three_brokers.restart, leader)
        stop.set()
        await client
        await reader.until(lambda: max(receipts.values()) in {one.offset for one in reader.records})

    read = {one.offset: (one.value or b"").decode() for one in reader.records if one.shard == rig.shard()}
    assert {value: read.get(offset) for value, offset in receipts.items()} == {v: v for v in receipts}
    assert list(receipts.values()) == sorted(receipts.values())


async def test_notes_written_while_their_leader_dies_are_all_there_and_copies_say_the_same(
    three_brokers: KafkaCluster,
) -> None:
    rig = KafkaRig(three_brokers.bootstrap_servers)
    rig.replication_factor = 3
    await rig.make_topics()
    shard = rig.shard()
    confirmed: list[Written] = []
    stop = asyncio.Event()
    async with rig.ledger("email") as ledger:
        recording = asyncio.create_task(record_until(ledger, shard, confirmed, stop))
        await grows(confirmed)
        leader = await rig.leader(Shard(ledger_topic(shard.topic, "email"), shard.partition))
        await asyncio.to_thread(three_brokers.kill, leader)
        await grows(confirmed)
        await asyncio.to_thread(three_brokers.restart, leader)
        await grows(confirmed)
        stop.set()
        await recording
        found = await recalled(ledger, shard)

    notes = [written.note for written in found]
    turns = [note.offset // 2 for note in notes if isinstance(note, LedgerRecord)]
    assert set(confirmed) <= set(found)
    # A copy stands beside its twin: nothing comes late, when what followed from it is written already.
    assert turns == sorted(turns)
    assert list(dict.fromkeys(notes)) == [entry(number) for number in range(2 * max(turns) + 2)]


async def grows(confirmed: Sequence[Written]) -> None:
    wanted = len(confirmed) + 40
    await until(lambda: len(confirmed) >= wanted, PATIENCE)


async def record_until(
    ledger: KafkaLedger, shard: Shard, confirmed: list[Written], stop: asyncio.Event
) -> None:
    """As the engine's recorder: what is not confirmed is written again, and nothing after it before."""
    for number in itertools.count():
        if stop.is_set():
            return
        notes = [entry(2 * number), entry(2 * number + 1)]
        positions: Sequence[int] = ()
        while not positions:
            await asyncio.sleep(0.005)
            with contextlib.suppress(LogUnavailable):
                positions = await ledger.write(shard, notes)
        confirmed += [Written(at, note) for at, note in zip(positions, notes, strict=True)]


async def test_shards_that_move_under_load_lose_nothing(rig: KafkaRig) -> None:
    values = [str(n) for n in range(600)]
    async with rig.publisher() as publisher, rig.log("email") as one:
        first = Committing(one, PATIENCE)
        loading = asyncio.create_task(load(publisher, rig, values))
        await first.until_read(50)
        async with rig.log("email") as two:
            second = Committing(two, PATIENCE)
            await both_until(
                first, second, lambda: len(first.records) + len(second.records) >= 600 and loading.done()
            )

    assert any(isinstance(event, Revoking) for event in first.events)
    assert second.records
    assert [v for s in sorted(rig.shards()) for v in values_in_order([first, second], s)] == [
        v for n in range(3) for v in values[n::3]
    ]


class Committing(Reader):
    """Commits what it has read before it lets shards go, as the engine does."""

    async def _let_go(self, shards: frozenset[Shard]) -> None:
        next_offsets: dict[Shard, int] = defaultdict(int)
        for one in self.records:
            next_offsets[one.shard] = one.offset + 1
        await self.log.commit({s: Position(o) for s, o in next_offsets.items() if s in shards})
        await self.log.release(shards)


async def load(publisher: KafkaPublisher, rig: KafkaRig, values: list[str]) -> None:
    for at in range(0, len(values), 6):
        await publisher.publish([record(rig.shard(int(v) % 3), v) for v in values[at : at + 6]])
        await asyncio.sleep(0.02)


def values_in_order(readers: list[Committing], shard: Shard) -> list[str]:
    """What was read of the shard by whomever, each offset once. Nothing is read twice: all was committed."""
    records = [one for reader in readers for one in reader.records if one.shard == shard]
    return [(one.value or b"").decode() for one in sorted(records, key=lambda one: one.offset)]


async def test_a_member_thrown_out_hears_that_its_shards_are_lost_and_joins_again(rig: KafkaRig) -> None:
    async with rig.log("email") as log:
        reader = Reader(log, PATIENCE)
        await reader.until_held(rig.shards())
        await throw_out(rig, log)
        await reader.until(lambda: isinstance(reader.events[-1], Assigned) and len(reader.events) > 1)

    assert [type(event) for event in reader.events] == [Assigned, Lost, Assigned]
    assert reader.events[1] == Lost(rig.shards())


async def test_a_member_thrown_out_commits_nothing(rig: KafkaRig) -> None:
    async with rig.log("email") as log:
        reader = Reader(log, PATIENCE)
        await reader.until_held(rig.shards())
        await throw_out(rig, log)
        await log.commit({rig.shard(): Position(7)})
        position = await log.committed(rig.shard())
        event = await log.next_event(frozenset(), 10, 1.0)

    assert position is None
    assert event == Lost(rig.shards())


async def test_leaving_in_the_middle_of_a_rebalance_hands_the_shards_over_at_once(rig: KafkaRig) -> None:
    async with contextlib.AsyncExitStack() as leaving:
        first = Reader(await leaving.enter_async_context(rig.log("email")), PATIENCE)
        await first.until_held(rig.shards())
        first.obliging = False
        async with rig.log("email") as stays:
            second = Reader(stays, PATIENCE)
            await both_until(first, second, lambda: not first.held)
            begun = monotonic()
            await leaving.aclose()
            left_after = monotonic() - begun
            await second.until_held(rig.shards())
            held_after = monotonic() - begun

    assert left_after < 3
    # Well before the session of the one that left would have timed out.
    assert held_after < 5


async def test_leaving_while_the_others_are_waited_for_leaves_no_shards_with_nobody(
    rig: KafkaRig,
) -> None:
    times = replace(QUICK, drain=2.0, stop=0.5)
    stays = KafkaLog(rig.connection, "email", f"{rig.topic}-email", [rig.topic], times=times)
    leaves = KafkaLog(rig.connection, "email", f"{rig.topic}-email", [rig.topic], times=times)
    shards = frozenset(rig.shard(number) for number in range(PARTITIONS))
    async with stays:
        slow = Reader(stays, PATIENCE)
        await slow.until_held(shards)
        slow.obliging = False
        async with leaves:
            await slow.until(lambda: not slow.held)
        await slow.until(lambda: any(isinstance(event, Lost) for event in slow.events))
        begun = monotonic()
        await slow.until_held(shards)
        held_after = monotonic() - begun

    assert held_after < times.session / 2


async def throw_out(rig: KafkaRig, log: KafkaLog) -> None:
    """Makes the coordinator drop the member, as it does with one whose heartbeats stay away."""
    group = f"{rig.topic}-email"
    admin = AIOKafkaAdminClient(bootstrap_servers=rig.connection.bootstrap_servers)
    await admin.start()
    try:
        coordinator = await admin.find_coordinator(group)
        leave: Any = LeaveGroupRequest
        await admin._send_request(leave(group, log._consumer._coordinator.member_id), coordinator)
    finally:
        await admin.close()


async def test_leaving_at_any_moment_after_entering_leaves_no_connection_open(rig: KafkaRig) -> None:
    for turns in range(25):
        async with rig.log("email"), rig.publisher():
            await settle(turns)

    assert open_connections() == []


async def settle(turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


def open_connections() -> list[AIOKafkaConnection]:
    """Those that somebody still holds on to; aiokafka warns of the others, which fails a test as well."""
    alive = (one for one in gc.get_objects() if isinstance(one, AIOKafkaConnection))
    return [connection for connection in alive if connection.connected()]
