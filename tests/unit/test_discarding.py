"""Orders to discard, obeyed by an engine: whatever waits ends, nothing else is touched."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

import pytest

from adapters.memory import MemoryBroker
from adapters.memory_ledger import MemoryLedger
from adapters.memory_orders import MemoryDiscardOrders
from application.engine_options import EngineOptions
from domain.discard import Cut, Discard, cuts_of
from domain.errors import LogUnavailable, UnknownVersion
from domain.ledger import Deferral, LedgerRecord, Note, State, Tombstone
from domain.log import NewRecord, Shard
from domain.message import Message
from domain.outcome import ChannelDown, Delivered, Outcome, TryAgain, Uncertain
from domain.retry import RetryPolicy
from tests.engine_parts import SHARD, TOPIC, World

HOUR = 3600.0
LATE = 90.0  # so late that it is put off
WITHIN_SECONDS = 3.0  # it is looked every two


class OrdersWithTrouble(MemoryDiscardOrders):
    """As the test wants it: they cannot be read now, or are of a newer Herald."""

    trouble: Exception | None = None
    asked = 0

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        type(self).trouble, type(self).asked = None, 0

    async def in_force(self, topic: str, group: str) -> Sequence[Discard]:
        type(self).asked += 1
        await asyncio.sleep(0)
        if self.trouble is not None:
            raise self.trouble
        return await super().in_force(topic, group)


class SlowLedger(MemoryLedger):
    """A batch takes a second."""

    def __init__(self, broker: MemoryBroker, group: str) -> None:
        super().__init__(broker, group)
        self._clock = broker.clock

    async def write(self, shard: Shard, notes: Sequence[Note]) -> Sequence[int]:
        await self._clock.sleep(1)
        return await super().write(shard, notes)


def order(world: World, before: float | None = None, group: str = "email") -> Discard:
    shards = [Shard(TOPIC, partition) for partition in range(world.partitions)]
    now = world.clock.now()
    return Discard(
        topic=TOPIC,
        group=group,
        before=now + 1 if before is None else before,
        upto={shard.partition: world.broker.bounds(shard).end for shard in shards},
        at=now,
        by="ada@ops",
    )


async def discard(world: World, before: float | None = None) -> None:
    await MemoryDiscardOrders(world.broker).give(order(world, before))


def notes(world: World, shard: Shard = SHARD) -> list[LedgerRecord]:
    written = world.broker.ledgers["email", shard].notes
    return [note for note in written if isinstance(note, LedgerRecord)]


def discarded(world: World, shard: Shard = SHARD) -> list[str]:
    ends = [note for note in notes(world, shard) if note.state is State.EXPIRED]
    assert {note.reason for note in ends} <= {"discarded"}
    return [note.request_id for note in ends]


def is_put_off(world: World) -> bool:
    left: set[int] = set()
    for note in world.broker.deferrals["email", SHARD].notes:
        if isinstance(note, Deferral):
            left.add(note.record.offset)
        elif isinstance(note, Tombstone):
            left.discard(note.offset)
    return bool(left)


# What an order takes --------------------------------------------------------------------------


def cut(order: Discard, offset: int, timestamp: float) -> bool:
    return any(one.takes(offset, timestamp) for one in cuts_of([order], SHARD))


def test_only_what_was_there_and_is_old_enough_is_taken() -> None:
    one = Discard(topic=TOPIC, group="email", before=100.0, upto={0: 5}, at=200.0, by="")

    assert cut(one, 4, 99.9)
    assert not cut(one, 5, 0.0)  # came later, whatever its producer stamped
    assert not cut(one, 4, 100.0)
    assert cuts_of([one], Shard(TOPIC, 1)) == ()
    assert cuts_of([one], Shard("alerts", 0)) == ()


def test_orders_add_to_each_other_and_those_that_add_nothing_are_left_out() -> None:
    one = Discard(topic=TOPIC, group="email", before=100.0, upto={0: 5}, at=0.0, by="")
    orders = [one, replace(one, before=50.0, upto={0: 9}), replace(one, before=40.0, upto={0: 7})]

    assert cuts_of(orders, SHARD) == (Cut(9, 50.0), Cut(5, 100.0))
    assert not orders[0].includes(orders[1])
    assert orders[1].includes(orders[2])


# A backlog ------------------------------------------------------------------------------------


async def test_what_waited_before_the_process_started_is_never_sent() -> None:
    world = World()
    await world.post("a", "b", key="k")
    await discard(world)
    await world.post("c", key="k")
    async with world.running() as running:
        await world.clock.advance(WITHIN_SECONDS)
        counted = running.engine.counts.deliveries[TOPIC, "expired"]

    assert world.channel.asked == ["c"]
    assert discarded(world) == ["a", "b"]
    assert (world.committed(), counted) == (3, 2)


async def test_the_younger_ones_are_sent() -> None:
    world = World()
    await world.post("old")
    await world.clock.advance(HOUR)
    await world.post("young")
    await discard(world, world.clock.now() - HOUR / 2)
    async with world.running():
        await world.clock.advance(WITHIN_SECONDS)

    assert world.channel.sent == ["young"]
    assert discarded(world) == ["old"]


async def test_other_partitions_and_other_groups_are_left_alone() -> None:
    world = World(partitions=2)
    await MemoryDiscardOrders(world.broker).give(order(world))
    await world.post("a", partition=0)
    await MemoryDiscardOrders(world.broker).give(order(world))
    await world.post("b", partition=1)
    await MemoryDiscardOrders(world.broker).give(order(world, group="sms"))
    async with world.running():
        await world.clock.advance(WITHIN_SECONDS)

    assert world.channel.sent == ["b"]


async def test_what_could_not_be_sent_ends_too_and_leaves_no_dead_letter() -> None:
    world = World()
    await world.post_raw(b"no json")
    await world.post("invalid", email="wrong")
    await world.post("skipped", email="")
    await discard(world)
    async with world.running():
        await world.clock.advance(WITHIN_SECONDS)

    assert world.letters() == []
    assert discarded(world)[1:2] == ["invalid"]
    assert world.committed() == 3


async def test_its_id_may_be_sent_again_and_a_replay_is_not_touched() -> None:
    world = World()
    await world.post("a")
    await discard(world)
    await world.post("a")
    async with world.running():
        await world.clock.advance(WITHIN_SECONDS)

    assert world.channel.sent == ["a"]
    assert [(note.offset, note.state) for note in notes(world)] == [(0, State.EXPIRED), (1, State.SENT)]


async def test_a_discarded_message_under_a_sent_id_is_no_dead_letter() -> None:
    world = World()
    await world.post("a")
    async with world.running() as running:
        await world.clock.advance(1)
        await running.drain()
    await world.post("a", message_body="other")
    await discard(world)
    async with world.running():
        await world.clock.advance(WITHIN_SECONDS)

    assert world.channel.sent == ["a"]
    assert world.letters() == []
    assert world.committed() == 2


# While it runs --------------------------------------------------------------------------------


async def test_what_is_being_sent_goes_its_way_and_what_waits_behind_it_ends() -> None:
    world = World()
    world.channel.hold = asyncio.Event()
    await world.post("flying", "behind", key="k")
    async with world.running():
        await discard(world)
        await world.clock.advance(WITHIN_SECONDS)
        before = discarded(world)
        world.channel.hold.set()
        await world.clock.advance(1)

    assert (before, world.channel.sent) == (["behind"], ["flying"])
    assert world.committed() == 2


@pytest.mark.parametrize("outcome", [TryAgain("451"), Uncertain("lost")])
async def test_one_that_fails_in_flight_is_not_tried_again(outcome: Outcome) -> None:
    world = World()
    world.channel.hold, world.channel.answer = asyncio.Event(), lambda _: outcome
    await world.post("a")
    async with world.running():
        await discard(world)
        await world.clock.advance(WITHIN_SECONDS)
        world.channel.hold.set()
        await world.clock.advance(1)
        ended = discarded(world)
        await world.clock.advance(LATE + 10)

    assert ended == ["a"]
    assert world.channel.asked == ["a"]


@pytest.mark.parametrize("outcome", [TryAgain("451", after=LATE), Uncertain("lost")])
async def test_a_far_retry_and_a_lost_answer_wait_no_more(outcome: Outcome) -> None:
    world = World()
    world.channel.answer = lambda message: outcome if message.request_id == "a" else Delivered()
    await world.post("a", "b", key="k")
    async with world.running():
        await world.clock.advance(5)
        was_put_off = is_put_off(world)
        await discard(world)
        await world.clock.advance(WITHIN_SECONDS)
        tries = world.channel.asked.copy()
        await world.clock.advance(LATE + 10)

    assert was_put_off
    assert (tries, world.channel.asked) == (["a"], ["a"])
    assert discarded(world) == ["a", "b"]
    assert not is_put_off(world)
    assert world.committed() == 2


async def test_what_an_earlier_owner_put_off_is_never_tried() -> None:
    world = World(policy=RetryPolicy(defer_after_seconds=0.5))
    world.channel.answer = lambda _: TryAgain("451", after=LATE)
    await world.post("a", "b", key="k")
    async with world.running() as running:
        await world.clock.advance(5)
        await running.drain()
    await discard(world)
    async with world.running():
        await world.clock.advance(LATE + 10)

    assert world.channel.asked == ["a"]
    assert discarded(world) == ["a", "b"]
    assert not is_put_off(world)


async def test_tries_of_before_stay_on_record() -> None:
    world = World()
    world.channel.answer = lambda _: Uncertain("lost")
    await world.post("a")
    async with world.running():
        await world.clock.advance(1)
        await discard(world)
        await world.clock.advance(WITHIN_SECONDS)

    assert (notes(world)[-1].state, notes(world)[-1].uncertain) == (State.EXPIRED, 1)


async def test_it_is_told_once_that_an_order_was_obeyed(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.channel.hold = asyncio.Event()
    await world.post("flying", "b", "c", key="k")
    with caplog.at_level(logging.INFO, "herald.engine"):
        async with world.running():
            await discard(world)
            await world.clock.advance(5)
            early = [line for line in caplog.records if getattr(line, "action", "") == "discarded"]
            world.channel.hold.set()
            await world.clock.advance(60)

    [told] = [line for line in caplog.records if getattr(line, "action", "") == "discarded"]
    assert early == []
    assert told.getMessage() == "2 messages were discarded as ordered"
    assert (told.__dict__["topic"], told.__dict__["partition"], told.__dict__["messages"]) == (TOPIC, 0, 2)
    assert "ada" not in caplog.text


async def test_a_large_backlog_that_ends_keeps_no_other_partition_from_sending() -> None:
    """What was not sent is not repeated after a crash: nobody waits until it is on record."""
    world = World(partitions=2, ledger_type=SlowLedger, options=EngineOptions(concurrency=4, fetch_limit=200))
    await world.post(*(f"old{number}" for number in range(5000)))
    await discard(world)
    await world.post("first", "second", partition=1)
    async with world.running():
        await world.clock.advance(2)
        sent, ended = world.channel.sent.copy(), len(discarded(world))

    assert sorted(sent) == ["first", "second"]
    assert ended < 5000


# While the channel is down --------------------------------------------------------------------


def is_down(_: Message) -> Outcome:
    return ChannelDown("421")


async def test_while_the_channel_is_down_the_backlog_ends_and_nothing_of_it_is_a_probe() -> None:
    world = World(options=EngineOptions(concurrency=2, fetch_limit=5))
    world.channel.answer = is_down
    await world.post(*(f"m{number}" for number in range(50)))
    async with world.running() as running:
        await world.clock.advance(10)
        is_open = running.engine.breaker.is_open
        await discard(world)
        await world.clock.advance(WITHIN_SECONDS)
        tries = len(world.channel.asked)
        ended = len(discarded(world))
        await world.clock.advance(LATE + 10)

    assert is_open
    assert ended == 50
    assert world.committed() == 50
    assert len(world.channel.asked) == tries


async def test_behind_the_backlog_nothing_is_taken_but_to_probe_with() -> None:
    world = World(options=EngineOptions(concurrency=2, fetch_limit=20))
    world.channel.answer = is_down
    await world.post(*(f"old{number}" for number in range(30)))
    async with world.running() as running:
        await world.clock.advance(10)
        await discard(world)
        await world.post(*(f"new{number}" for number in range(30)))
        await world.clock.advance(WITHIN_SECONDS)
        [state] = running.engine.shards
        held = len(state.held)
        await world.clock.advance(60)
        probes = {message for message in world.channel.asked if message.startswith("new")}
        world.channel.answer = None
        await world.clock.advance(120)

    assert len(discarded(world)) == 30
    assert held <= 1
    assert probes
    assert sorted(set(world.channel.sent)) == sorted(f"new{number}" for number in range(30))
    assert world.committed() == 60


async def test_probes_go_on_while_a_backlog_is_read_for_its_order() -> None:
    """A partition that has much to discard must not keep another one from finding out that it may send."""
    world = World(partitions=2, options=EngineOptions(concurrency=1, fetch_limit=1))
    world.channel.answer = is_down
    await world.post("first", partition=1)
    await world.post(*(f"old{number}" for number in range(40)))
    async with world.running():
        await world.clock.advance(10)
        await discard(world)
        await world.post("new", partition=1)
        world.channel.answer = None
        await world.clock.advance(40)

    assert world.channel.sent[-1] == "new"
    assert len(discarded(world)) + len(discarded(world, Shard(TOPIC, 1))) >= 38


# Orders that cannot be read -------------------------------------------------------------------


async def test_no_message_is_sent_before_the_orders_are_known() -> None:
    world = World(orders_type=OrdersWithTrouble)
    await world.post("a")
    async with world.log_type(world.broker, "email", [TOPIC]) as log:
        engine = world.engine(log)
        OrdersWithTrouble.trouble = LogUnavailable("no broker answers")
        running = asyncio.create_task(engine.run(asyncio.Event()))
        await world.clock.advance(30)
        waits, sent = engine.trouble(), world.channel.sent.copy()
        OrdersWithTrouble.trouble = None
        await world.clock.advance(5)
        running.cancel()
        await asyncio.wait({running})

    assert sent == []
    assert waits is not None
    assert "no broker answers" in waits
    assert world.channel.sent == ["a"]


async def test_an_outage_later_holds_nobody_up_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    world = World(orders_type=OrdersWithTrouble)
    async with world.running() as running:
        OrdersWithTrouble.trouble = LogUnavailable("no broker answers")
        await world.post("a")
        await world.clock.advance(30)
        OrdersWithTrouble.trouble = None
        await world.clock.advance(5)
        assert not running.task.done()

    told = [line.getMessage() for line in caplog.records if "orders" in line.getMessage()]
    assert world.channel.sent == ["a"]
    assert told == ["orders to discard are not seen: no broker answers"]


async def test_an_order_of_a_newer_herald_stops_its_topic_and_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(orders_type=OrdersWithTrouble)
    world.channel.answer = lambda _: TryAgain("451")
    await world.post("a")
    async with world.running() as running:
        await world.clock.advance(1)
        OrdersWithTrouble.trouble = UnknownVersion("run a newer Herald")
        await world.clock.advance(WITHIN_SECONDS)
        tries = len(world.channel.asked)
        await world.post("b")
        await world.clock.advance(60)
        why, is_running = running.engine.trouble(), not running.task.done()
        asked_late = OrdersWithTrouble.asked
        await running.drain(60)

    assert len(world.channel.asked) == tries
    assert why is not None
    assert "run a newer Herald" in why
    assert is_running
    assert asked_late < 10
    assert [line.getMessage() for line in caplog.records if line.levelno == logging.ERROR] == [
        "a shard is not read any more: run a newer Herald"
    ]


async def test_many_shards_that_come_together_share_a_look() -> None:
    world = World(partitions=20, orders_type=OrdersWithTrouble)
    async with world.running():
        await world.clock.settle()
        asked = OrdersWithTrouble.asked

    assert 1 <= asked <= 3


async def test_a_gap_behind_an_order_keeps_nobody_from_probing() -> None:
    world = World()
    world.channel.answer = is_down
    await world.post("a", "b", "c")
    world.broker.leave_gap(SHARD)
    async with world.running():
        await world.clock.advance(10)
        await discard(world)
        await world.clock.advance(WITHIN_SECONDS)
        world.broker.append(NewRecord(SHARD, None, b'{"request_id": "new", "email": "a@example.test"}'))
        world.channel.answer = None
        await world.clock.advance(60)

    assert world.channel.sent == ["new"]
    assert len(discarded(world)) == 3
