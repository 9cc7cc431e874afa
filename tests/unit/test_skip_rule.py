"""Which records are passed over because their message ended, is open, or was sent."""

import asyncio
import json
from dataclasses import replace

import pytest

from adapters.memory import MemoryPublisher
from application.engine_options import EngineOptions
from domain.dead_letter import FOR_GROUP, REQUEST_ID
from domain.ledger import LedgerRecord, State, digest_of
from domain.log import Headers, NewRecord, Position, Shard
from domain.outcome import Refused, TryAgain
from tests.engine_parts import SHARD, TOPIC, World

GROUP = "email"
START = 1_800_000_000.0


def notes(world: World, shard: Shard = SHARD) -> list[tuple[int, str, State]]:
    ledger = world.broker.ledgers[GROUP, shard]
    return [(n.offset, n.request_id, n.state) for n in ledger.notes if isinstance(n, LedgerRecord)]


async def put_back(world: World, request_id: str, headers: Headers) -> None:
    value = json.dumps({"request_id": request_id, "email": "a@example.test"}).encode()
    await MemoryPublisher(world.broker).publish([NewRecord(SHARD, None, value, headers)])


@pytest.mark.parametrize("key", ["k", None])
async def test_the_same_request_ten_times_is_sent_once_and_writes_one_note(key: str | None) -> None:
    world = World()
    await world.post(*["one"] * 5, key=key)

    async with world.running() as running:
        await world.clock.advance(3.0)
        await world.post(*["one"] * 5, key=key)
        await world.clock.advance(3.0)

        assert running.engine.counts.deliveries == {(TOPIC, "sent"): 1, (TOPIC, "repeated"): 9}
    assert world.channel.asked == ["one"]
    assert notes(world) == [(0, "one", State.SENT)]
    assert (world.letters(), world.committed()) == ([], 10)


async def test_the_same_request_is_sent_once_in_a_partition_named_by_number() -> None:
    world = World(partitions=3)
    await world.post(*["one"] * 10, partition=2)

    async with world.running():
        await world.clock.advance(3.0)

    assert world.channel.sent == ["one"]
    assert world.committed(2) == 10


async def test_it_is_passed_over_while_the_first_is_under_way_or_waits() -> None:
    world = World()
    world.channel.hold = asyncio.Event()
    world.channel.script += [TryAgain("451")]
    await world.post("one")

    async with world.running():
        await world.clock.advance(1.0)
        await world.post("one")
        await world.clock.advance(1.0)
        world.channel.hold.set()
        await world.clock.advance(0.2)
        await world.post("one")  # the first waits to be tried again
        await world.clock.advance(5.0)

    assert (world.channel.asked, world.channel.sent) == (["one", "one"], ["one"])
    assert world.committed() == 3


async def test_what_was_sent_stays_known_after_a_restart() -> None:
    world = World()
    await world.post("one")
    async with world.running() as running:
        await world.clock.advance(2.0)
        await running.drain(1.0)

    await world.post(*["one"] * 3)
    async with world.running():
        await world.clock.advance(3.0)

    assert world.channel.sent == ["one"]
    assert world.committed() == 4


async def test_what_was_sent_stays_known_when_the_shard_goes_to_another_process() -> None:
    world = World(partitions=2)
    for partition in (0, 1):
        await world.post(f"one-{partition}", partition=partition)

    async with world.running():
        await world.clock.advance(2.0)
        async with world.running():
            await world.clock.advance(5.0)
            for partition in (0, 1):
                await world.post(f"one-{partition}", partition=partition)
            await world.clock.advance(5.0)

    assert sorted(world.channel.sent) == ["one-0", "one-1"]
    assert (world.committed(0), world.committed(1)) == (2, 2)


async def test_a_message_that_is_put_off_keeps_its_id_open_also_for_the_next_process() -> None:
    world = World(
        options=EngineOptions(concurrency=8, commit_seconds=30, measure_seconds=30, orders_seconds=30)
    )
    world.channel.answer = lambda _: TryAgain("451")
    await world.post("one", key="k")
    async with world.running():
        await world.clock.advance(300.0)
    assert world.committed() == 1

    asked = len(world.channel.asked)
    await world.post("one", key="k")
    world.channel.answer = None
    async with world.running():
        await world.clock.advance(600.0)

    assert world.channel.sent == ["one"]
    assert len(world.channel.asked) == asked + 1
    assert world.committed() == 2


async def test_only_the_last_so_many_sent_are_remembered() -> None:
    world = World(options=EngineOptions(concurrency=1, dedupe_messages=3))
    await world.post("a", "b", "c", "d")

    async with world.running():
        await world.clock.advance(2.0)
        await world.post("b", "a")
        await world.clock.advance(2.0)

    assert world.channel.sent == ["a", "b", "c", "d", "a"]


async def test_other_content_under_the_same_id_is_a_dead_letter_of_its_own_offset() -> None:
    world = World()
    await world.post("one", message_body="first")

    async with world.running() as running:
        await world.clock.advance(2.0)
        await world.post("one", message_body="second")
        await world.clock.advance(2.0)
        await world.post("one", message_body="first")
        await world.clock.advance(2.0)

        assert running.engine.counts.dead_letters == {(TOPIC, "request-id-reused"): 1}
    assert world.letters() == [(1, "request-id-reused")]
    assert notes(world) == [(0, "one", State.SENT), (1, "one", State.DEAD)]
    assert (world.channel.sent, world.committed()) == (["one"], 3)


async def test_an_open_one_is_not_closed_by_the_end_of_one_that_reused_its_id() -> None:
    world = World()
    world.channel.script += [TryAgain("451")] * 4
    await world.post("one", message_body="first")

    async with world.running():
        await world.clock.advance(0.5)
        await world.post("one", message_body="second")
        await world.clock.advance(0.4)
        assert world.letters() == [(1, "request-id-reused")]
        await world.post("one", message_body="first")
        await world.clock.advance(60.0)

    assert world.channel.sent == ["one"]
    assert world.committed() == 3


async def test_an_id_that_ended_as_a_dead_letter_may_be_sent_again() -> None:
    world = World()
    world.channel.script += [Refused("550")]
    await world.post("one")

    async with world.running():
        await world.clock.advance(2.0)
        await world.post("one")
        await world.clock.advance(2.0)
        await world.post("one")
        await world.clock.advance(2.0)

    assert world.letters() == [(0, "refused")]
    assert world.channel.sent == ["one"]
    assert notes(world) == [(0, "one", State.DEAD), (1, "one", State.SENT)]


async def test_an_id_that_expired_may_be_sent_again() -> None:
    world = World()
    await world.post("one", expires_at="2020-01-01T00:00:00Z")

    async with world.running():
        await world.clock.advance(2.0)
        await world.post("one")
        await world.clock.advance(2.0)

    assert world.channel.sent == ["one"]
    assert notes(world) == [(0, "one", State.EXPIRED), (1, "one", State.SENT)]


async def test_an_end_above_the_commit_is_not_sent_again_after_a_crash() -> None:
    world = World()
    world.channel.answer = lambda m: TryAgain("451") if m.request_id == "holds" else Refused("550")
    await world.post("holds")
    await world.post("dead")
    async with world.running():
        await world.clock.advance(5.0)
    assert (world.committed(), world.letters()) == (0, [(1, "refused")])

    world.channel.answer = None
    async with world.running():
        await world.clock.advance(60.0)

    assert world.channel.sent == ["holds"]
    assert (world.letters(), world.committed()) == ([(1, "refused")], 2)


async def test_an_end_of_another_id_at_the_same_offset_suppresses_nothing() -> None:
    world = World()
    await world.post("one", "two")
    digests = [digest_of(record.value) for record in world.broker.read(SHARD, 0, 2)]
    ends = [
        LedgerRecord(offset=offset, request_id=request_id, digest=digest, state=State.DEAD, low=0, at=START)
        for offset, request_id, digest in ((0, "another", digests[0]), (1, "two", digests[1]))
    ]
    await world.ledger_type(world.broker, GROUP).write(SHARD, ends)
    world.broker.positions[GROUP, SHARD] = Position(0, "1 0 0")

    async with world.running():
        await world.clock.advance(2.0)

    assert world.channel.sent == ["one"]
    assert world.committed() == 2


async def test_what_was_put_back_for_another_group_is_finished_silently() -> None:
    world = World()
    await put_back(world, "theirs", ((FOR_GROUP, b"sms"),))
    await put_back(world, "ours", ((FOR_GROUP, b"email"),))

    async with world.running() as running:
        await world.clock.advance(2.0)

        assert running.engine.counts.deliveries == {(TOPIC, "skipped"): 1, (TOPIC, "sent"): 1}
    assert world.channel.sent == ["ours"]
    assert notes(world) == [(1, "ours", State.SENT)]
    assert world.committed() == 2


async def test_what_was_put_back_for_another_group_does_not_make_its_id_known() -> None:
    world = World()
    await put_back(world, "one", ((FOR_GROUP, b"sms"),))
    await world.post("one")

    async with world.running():
        await world.clock.advance(2.0)

    assert world.channel.sent == ["one"]


async def test_a_dead_one_that_is_put_back_twice_is_sent_once() -> None:
    world = World()
    world.channel.script += [Refused("550")]
    await world.post("one")

    async with world.running():
        await world.clock.advance(2.0)
        for _ in range(2):  # the command was killed before it noted the first
            await put_back(world, "one", ((FOR_GROUP, b"email"),))
        await world.clock.advance(2.0)

    assert world.channel.sent == ["one"]


async def test_an_id_that_was_sent_before_the_topics_retention_may_be_used_anew() -> None:
    rarely = EngineOptions(
        commit_seconds=600, poll_seconds=600, measure_seconds=600, orders_seconds=600, tick_seconds=600
    )
    world = World(options=replace(rarely, frozen_seconds=1e9))
    await world.post("one", message_body="first")

    async with world.running():
        await world.clock.advance(167 * 3600.0)
        await world.post("one", message_body="first")
        await world.clock.advance(600.0)
        assert world.channel.sent == ["one"]

        await world.clock.advance(3600.0)
        await world.post("one", message_body="second")
        await world.clock.advance(600.0)

    assert world.channel.sent == ["one", "one"]
    assert world.letters() == []


@pytest.mark.parametrize("given", [b"x" * 70_000, b"not an id", b"\xff"])
async def test_a_header_that_is_no_id_does_not_become_the_id_of_an_undecodable_record(given: bytes) -> None:
    # Any producer may write it, and Kafka's ledger has no room for a very long one: a record like that
    # would end each process that takes it.
    world = World()
    await MemoryPublisher(world.broker).publish([NewRecord(SHARD, None, b"not json", ((REQUEST_ID, given),))])

    async with world.running():
        await world.clock.advance(3.0)

    assert world.letters() == [(0, "undecodable")]
    assert notes(world) == [(0, f"{TOPIC}-0-0", State.DEAD)]
