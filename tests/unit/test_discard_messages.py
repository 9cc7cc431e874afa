"""How many messages an order would end, and what an order is when it is given: on any log."""

import asyncio
from dataclasses import dataclass, field

import pytest

from adapters.memory_backlog import MemoryGroupBacklog
from adapters.memory_orders import MemoryDiscardOrders
from adapters.memory_status import MemoryGroupLags
from adapters.message_sighting import sighting_of
from application.discard_messages import GiveDiscardOrder, SurveyDiscard
from domain.discard import CLOCKS_DIFFER_SECONDS
from domain.errors import HeraldError, LogUnavailable
from domain.log import Headers, NewRecord, Position, Shard
from domain.outcome import Delivered, Outcome, TryAgain
from domain.topic import Start
from tests.engine_parts import SHARD, TOPIC, World

ALL = 1e12


@dataclass
class Operator:
    """Looks at the log of a world and gives orders."""

    world: World = field(default_factory=lambda: World(partitions=2))

    async def survey(self, before: float = ALL, group: str = "email") -> int:
        lags, backlog = MemoryGroupLags(self.world.broker), MemoryGroupBacklog(self.world.broker)
        return await SurveyDiscard(lags, backlog, sighting_of, 100)(self.world.topic, group, before)

    async def order(self, before: float = ALL) -> float:
        """Its `before`."""
        broker = self.world.broker
        give = GiveDiscardOrder(MemoryGroupLags(broker), MemoryDiscardOrders(broker), self.world.clock)
        return (await give(self.world.topic, "email", before, by="ada@ops")).before

    async def obeyed(self, seconds: float = 5.0) -> int:
        """How many a process has ended by orders after so long."""
        async with self.world.running() as running:
            await self.world.clock.advance(seconds)
            await running.drain()
            return running.engine.counts.deliveries[TOPIC, "expired"]


@pytest.fixture
async def operator() -> Operator:
    return Operator()


def append(world: World, value: bytes, headers: Headers = ()) -> None:
    world.broker.append(NewRecord(SHARD, None, value, headers))


async def half_done(world: World, ids: str = "abcdef") -> None:
    """Every second one is sent, the others wait for their retry."""

    def answer(message: object) -> Outcome:
        return Delivered() if getattr(message, "request_id", "")[:1] in "bdf" else TryAgain("451", after=40.0)

    world.channel.answer = answer
    await world.post(*ids)
    async with world.running() as running:
        await world.clock.advance(5)
        await running.drain()


async def test_all_that_no_group_has_begun_with_is_counted(operator: Operator) -> None:
    await operator.world.post("a", "b")
    await operator.world.post("c", partition=1)

    assert (await operator.survey(), await operator.survey(group="sms")) == (3, 0)


async def test_only_what_is_old_enough_is_counted(operator: Operator) -> None:
    await operator.world.post("a", "b")
    await operator.world.clock.advance(60)
    await operator.world.post("c")

    assert await operator.survey(operator.world.clock.now() - 30) == 2


async def test_what_has_ended_above_the_position_is_not_counted(operator: Operator) -> None:
    await half_done(operator.world)

    assert operator.world.committed() == 0
    assert await operator.survey() == 3


async def test_what_is_put_off_is_counted_once(operator: Operator) -> None:
    world = operator.world
    world.channel.answer = lambda _: TryAgain("451", after=90.0)
    await world.post("a", "b", key="k")
    async with world.running() as running:
        await world.clock.advance(5)
        await running.drain()
    before = await operator.survey()
    world.broker.positions["email", SHARD] = Position(0)  # set back by hand

    assert (before, await operator.survey()) == (2, 2)


async def test_repeats_are_no_messages_of_their_own_and_foreign_ones_not_ours(operator: Operator) -> None:
    world = operator.world
    await half_done(world, "ab")
    await world.post("a", "b", "c")  # one waits, one was sent
    await world.post("for-sms", phone="+12025550143", email="")
    append(world, b'{"request_id": "back", "email": "a@example.test"}', (("herald-group", b"sms"),))
    append(world, b"no json")

    assert await operator.survey() == 3  # a, c, and what would be a dead letter


async def test_the_count_is_what_a_process_then_ends(operator: Operator) -> None:
    await half_done(operator.world)
    await operator.world.post("g", "h", key="k")
    await operator.world.post("i", partition=1)
    count = await operator.survey()
    await operator.order()

    assert count == 6
    assert await operator.obeyed() == count
    assert await operator.survey() == 0


async def test_a_group_that_is_new_and_begins_at_the_end_has_nothing(operator: Operator) -> None:
    operator.world.start = Start.END
    await operator.world.post("a")

    assert await operator.survey() == 0


async def test_a_partition_that_nobody_may_read_is_told(operator: Operator) -> None:
    operator.world.broker.positions["email", SHARD] = Position(9)

    with pytest.raises(HeraldError, match="transactions-0 is not read"):
        await operator.survey()


async def test_an_order_takes_nothing_that_comes_later_and_no_time_to_come(operator: Operator) -> None:
    world = operator.world
    await world.post("a")
    now = world.clock.now()
    before = await operator.order(ALL)
    [order] = world.broker.orders[TOPIC, "email"]

    assert before == now + CLOCKS_DIFFER_SECONDS
    assert (order.upto, order.at, order.by) == ({0: 1, 1: 0}, now, "ada@ops")


async def test_a_time_that_has_passed_stays_what_it_is(operator: Operator) -> None:
    assert await operator.order(1_700_000_000.0) == 1_700_000_000.0


async def test_a_log_that_is_away_is_told_and_nothing_is_ordered(operator: Operator) -> None:
    operator.world.broker.down = True
    with pytest.raises(LogUnavailable):
        await operator.survey()
    with pytest.raises(LogUnavailable):
        await operator.order()

    assert operator.world.broker.orders == {}


async def test_it_is_ordered_while_a_process_runs_and_another_partition_waits(operator: Operator) -> None:
    world = operator.world
    world.channel.hold = asyncio.Event()
    await world.post("flying", "behind", key="k")
    await world.post("other", key="l", partition=1)
    async with world.running() as running:
        await operator.order()
        await world.clock.advance(3)
        left = await operator.survey()
        world.channel.hold.set()
        await world.clock.advance(2)

        assert left == 2  # what is being sent
        assert sorted(world.channel.sent) == ["flying", "other"]
        assert running.engine.counts.deliveries[TOPIC, "expired"] == 1
        assert world.committed() == 2
        assert world.committed(1) == 1
    assert Shard(TOPIC, 1) in world.broker.shards([TOPIC])
