"""A group's way to read Kafka, on a consumer without a broker."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import TopicPartition, errors
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.protocol.group import LeaveGroupRequest
from aiokafka.structs import OffsetAndMetadata

from adapters.kafka_connection import KafkaConnection
from adapters.kafka_consumer import consumer_options
from adapters.kafka_log import KafkaLog
from adapters.kafka_times import GroupTimes
from domain.errors import HeraldError, LogUnavailable
from domain.log import Assigned, Bounds, Fetched, LogEvent, Lost, Overtaken, Position, Revoking, Shard
from tests.kafka.fakes import REFUSED, FakeAdmin, FakeBroker, FakeConsumer
from tests.unit.test_kafka_reading import kafka_record, offsets

ONE, TWO = Shard("transactions", 1), Shard("transactions", 2)
P1, P2 = TopicPartition("transactions", 1), TopicPartition("transactions", 2)
CONNECTION = KafkaConnection(bootstrap_servers="127.0.0.1:1")
QUICK = GroupTimes(drain=0.05, rebalance_margin=0.05, answer=0.05, stop=0.05, pause=0.0, longest_pause=0.0)


class Desk:
    """A log and what it talks to."""

    def __init__(self, broker: FakeBroker, log: KafkaLog) -> None:
        self.broker = broker
        self.log = log

    @property
    def consumer(self) -> FakeConsumer:
        return next(c for c in reversed(self.broker.clients) if isinstance(c, FakeConsumer))

    async def connected(self) -> FakeConsumer:
        await until(lambda: bool(self.broker.clients) and self.consumer.listener is not None)
        return self.consumer

    async def holding(self, *partitions: TopicPartition) -> FakeConsumer:
        consumer = await self.connected()
        await consumer.rebalance(*partitions)
        assert isinstance(await self.event(), Assigned)
        return consumer

    async def event(self, *wanted: Shard, seconds: float = 1.0) -> LogEvent | None:
        return await self.log.next_event(frozenset(wanted), 10, seconds)


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not done():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0)


@asynccontextmanager
async def opened(broker: FakeBroker | None = None, times: GroupTimes = QUICK) -> AsyncIterator[Desk]:
    broker = broker or FakeBroker()
    log = KafkaLog(
        CONNECTION,
        "email",
        "herald-email",
        ["transactions"],
        times=times,
        consumer_class=broker.client(FakeConsumer),
        admin_class=broker.client(FakeAdmin),
    )
    async with log:
        yield Desk(broker, log)


def test_the_times_build_on_one_another() -> None:
    times = GroupTimes(drain=20.0)
    options = consumer_options("herald-email", times)

    assert times.drain < times.give_back < times.rebalance
    assert options["rebalance_timeout_ms"] == 30_000
    assert options["request_timeout_ms"] == 45_000
    assert options["auto_offset_reset"] == "none"
    assert options["enable_auto_commit"] is False


def test_a_long_drain_is_no_silence_for_which_a_member_leaves() -> None:
    options = consumer_options("herald-email", GroupTimes(drain=600.0))

    assert options["max_poll_interval_ms"] > options["rebalance_timeout_ms"]


def test_each_consumer_has_one_assignor_of_its_own() -> None:
    times = GroupTimes(drain=20.0)
    [one] = consumer_options("herald-email", times)["partition_assignment_strategy"]
    [other] = consumer_options("herald-email", times)["partition_assignment_strategy"]
    one.member_assignment = [P1]

    assert issubclass(one, StickyPartitionAssignor)
    assert other.member_assignment is None


async def test_the_group_is_joined_with_all_topics() -> None:
    async with opened() as desk:
        consumer = await desk.connected()

    assert consumer.options["group_id"] == "herald-email"
    assert consumer.topics_subscribed == ["transactions"]
    assert consumer.stopped == 1


async def test_brokers_away_at_the_start_are_waited_for() -> None:
    broker = FakeBroker()
    broker.starts.extend([REFUSED, REFUSED])
    async with opened(broker) as desk:
        early = await desk.log.unready()
        nothing = await desk.event(ONE, seconds=0.0)
        await desk.connected()

    assert early == "not connected to Kafka yet"
    assert nothing is None
    assert [client.stopped for client in broker.clients] == [1, 1, 1]


async def test_leaving_while_brokers_are_away_is_quick() -> None:
    class Hanging(FakeConsumer):
        async def start(self) -> None:
            await asyncio.Event().wait()

    broker = FakeBroker()
    log = KafkaLog(CONNECTION, "email", "g", ["t"], times=QUICK, consumer_class=broker.client(Hanging))
    async with asyncio.timeout(10), log:
        await until(lambda: bool(broker.clients))

    assert broker.newest.stopped == 1


async def test_shards_stay_paused_until_begin_and_are_then_read_from_there() -> None:
    async with opened() as desk:
        consumer = await desk.holding(P1, P2)
        paused = list(consumer.paused)
        before = list(consumer.resumed)
        desk.log.begin(ONE, 5)
        consumer.polls.append({P1: [kafka_record(5)]})
        event = await desk.event(ONE, TWO)

    assert sorted(paused) == [P1, P2]
    assert before == []
    assert (consumer.seeks, consumer.resumed) == ([(P1, 5)], [P1])
    assert offsets(event) == [(1, 5)]


async def test_begin_of_what_is_not_ours_is_ignored() -> None:
    async with opened() as desk:
        consumer = await desk.holding(P1)
        desk.log.begin(TWO, 5)
        consumer.assigned = frozenset()  # aiokafka knows before us
        desk.log.begin(ONE, 5)

    assert consumer.seeks == []


async def test_a_cancelled_call_loses_no_record() -> None:
    async with opened() as desk:
        consumer = await desk.holding(P1)
        desk.log.begin(ONE, 5)
        consumer.polls.append({P1: [kafka_record(5)]})
        call = asyncio.create_task(desk.event(ONE))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])
        event = await desk.event(ONE)

    assert offsets(event) == [(1, 5)]


async def test_without_room_for_a_record_only_the_membership_is_kept() -> None:
    async with opened() as desk:
        consumer = await desk.holding(P1)
        desk.log.begin(ONE, 5)
        await desk.log.next_event(frozenset({ONE}), 0, 0.0)
        await asyncio.sleep(0)

    assert P1 not in consumer.asked[-1]


async def test_shards_asked_back_go_when_they_are_released() -> None:
    async with opened(times=GroupTimes(drain=30.0)) as desk:
        consumer = await desk.holding(P1)
        desk.log.begin(ONE, 5)
        rebalance = asyncio.create_task(consumer.rebalance(P2))
        asked = await desk.event(ONE)
        desk.log.begin(ONE, 5)  # too late
        await desk.log.commit({ONE: Position(9)})
        await desk.log.release({ONE})
        await rebalance
        given = await desk.event(ONE)

    assert asked == Revoking(frozenset({ONE}), 30.0)
    assert given == Assigned(frozenset({TWO}))
    assert consumer.seeks == [(P1, 5)]
    assert consumer.commits == [{P1: (9, "")}]


async def test_shards_that_are_not_released_go_all_the_same() -> None:
    async with opened() as desk:
        consumer = await desk.holding(P1)
        rebalance = asyncio.create_task(consumer.rebalance(P2))
        events = [await desk.event() for _ in range(3)]
        await rebalance
        await desk.log.commit({ONE: Position(9)})

    assert events == [
        Revoking(frozenset({ONE}), QUICK.drain),
        Lost(frozenset({ONE})),
        Assigned(frozenset({TWO})),
    ]
    assert consumer.commits == []


async def test_a_member_thrown_out_is_told_of_the_loss_and_not_asked() -> None:
    async with opened() as desk:
        consumer = await desk.holding(P1)
        consumer._coordinator.generation = -1
        await consumer.rebalance(P1)
        events = [await desk.event() for _ in range(2)]

    assert events == [Lost(frozenset({ONE})), Assigned(frozenset({ONE}))]


async def test_a_member_thrown_out_does_not_commit() -> None:
    # Without a generation aiokafka commits as a client outside of the group, and Kafka takes it.
    async with opened() as desk:
        consumer = await desk.holding(P1)
        consumer._coordinator.generation = -1
        await desk.log.commit({ONE: Position(9)})
        event = await desk.event()

    assert consumer.commits == []
    assert event == Lost(frozenset({ONE}))


async def test_a_commit_that_meets_another_generation_loses_the_shards() -> None:
    async with opened() as desk:
        consumer = await desk.holding(P1)
        consumer.commit_answer = errors.CommitFailedError("rebalanced")
        await desk.log.commit({ONE: Position(9)})
        event = await desk.event()

    assert event == Lost(frozenset({ONE}))


async def test_a_commit_without_an_answer_is_unavailable_and_the_shards_stay() -> None:
    async with opened() as desk:
        consumer = await desk.holding(P1)
        consumer.broker.hold = asyncio.Event()
        with pytest.raises(LogUnavailable):
            await desk.log.commit({ONE: Position(9)})
        event = await desk.event(seconds=0.0)

    assert event is None


async def test_a_commit_cut_off_by_a_rebalance_has_nothing_left_to_say() -> None:
    async with opened(times=GroupTimes(drain=0.01, rebalance_margin=0.01)) as desk:
        consumer = await desk.holding(P1)
        consumer.broker.hold = asyncio.Event()
        commit = asyncio.create_task(desk.log.commit({ONE: Position(9)}))
        await asyncio.sleep(0)
        await consumer.rebalance(P2)
        await commit

    assert consumer.commits == []


async def test_committing_what_is_not_ours_is_left_out() -> None:
    async with opened() as desk:
        consumer = await desk.holding(P1)
        await desk.log.commit({ONE: Position(3), TWO: Position(4)})

    assert consumer.commits == [{P1: (3, "")}]


async def test_bounds_are_asked_of_kafka() -> None:
    async with opened() as desk:
        consumer = await desk.holding(P1)
        consumer.firsts[P1], desk.broker.ends[P1] = 3, 8
        bounds = await desk.log.bounds({ONE})

    assert bounds == {ONE: Bounds(3, 8)}


@pytest.mark.parametrize("error", [errors.KafkaTimeoutError(), KeyError(P1), TimeoutError()])
async def test_bounds_that_are_not_told_are_unavailable(error: BaseException) -> None:
    async with opened() as desk:
        early = desk.log.bounds({ONE})
        with pytest.raises(LogUnavailable, match="not connected"):
            await early
        consumer = await desk.holding(P1)
        consumer.bounds_answers.append(error)
        with pytest.raises(LogUnavailable, match="did not tell"):
            await desk.log.bounds({ONE})


async def test_the_committed_position_is_read_with_its_note() -> None:
    broker = FakeBroker().says(offsets=[{P1: OffsetAndMetadata(4, "1 2 3")}])
    async with opened(broker) as desk:
        position = await desk.log.committed(ONE)

    [admin] = [client for client in broker.clients if isinstance(client, FakeAdmin)]
    assert position == Position(4, "1 2 3")
    assert admin.options["request_timeout_ms"] == 10_000


async def test_a_shard_that_retention_overtook_goes_on_where_the_log_begins() -> None:
    async with opened() as desk:
        consumer = await desk.holding(P1)
        consumer.firsts[P1], desk.broker.ends[P1] = 40, 50
        consumer.bounds_answers.append(errors.KafkaConnectionError("away"))
        consumer.polls.extend([errors.OffsetOutOfRangeError({P1: 5}), {P1: [kafka_record(40)]}])
        desk.log.begin(ONE, 5)
        events = [await desk.event(ONE) for _ in range(2)]

    assert events[0] == Overtaken(ONE, 40)
    assert offsets(events[1]) == [(1, 40)]
    assert consumer.seeks[-1] == (P1, 40)


async def test_a_position_that_turns_out_to_be_there_is_read_again() -> None:
    async with opened() as desk:
        consumer = await desk.holding(P1)
        desk.broker.ends[P1] = 50
        consumer.polls.extend([errors.OffsetOutOfRangeError({P1: 5}), {P1: [kafka_record(5)]}])
        desk.log.begin(ONE, 5)
        event = await desk.event(ONE)

    assert offsets(event) == [(1, 5)]


async def test_a_log_that_ends_before_the_position_ends_the_process() -> None:
    async with opened() as desk:
        consumer = await desk.holding(P1)
        desk.broker.ends[P1] = 3
        consumer.polls.append(errors.OffsetOutOfRangeError({P1: 5}))
        desk.log.begin(ONE, 5)
        with pytest.raises(HeraldError, match="partition 1 of topic transactions ends at 3"):
            await desk.event(ONE)
        reason = await desk.log.unready()

    assert reason is not None
    assert "made anew" in reason


async def test_a_doubt_ends_with_the_shard() -> None:
    async with opened() as desk:
        consumer = await desk.holding(P1)
        desk.broker.ends[P1] = 3
        consumer.bounds_answers.extend([errors.KafkaConnectionError("away")] * 3)
        consumer.polls.append(errors.OffsetOutOfRangeError({P1: 5}))
        desk.log.begin(ONE, 5)
        await desk.event(ONE, seconds=0.0)
        await consumer.rebalance()
        events = [await desk.event(ONE, seconds=0.01) for _ in range(2)]

    assert events == [Lost(frozenset({ONE})), None]


async def test_it_is_ready_once_joined_even_without_a_shard_and_while_kafka_answers() -> None:
    async with opened() as desk:
        consumer = await desk.connected()
        joining = await desk.log.unready()
        await consumer.rebalance()
        ready = await desk.log.unready()
        consumer.topics_answer = errors.KafkaConnectionError("away")
        away = await desk.log.unready()

    assert joining == "joining the group"
    assert ready is None
    assert away == "no Kafka broker can be reached"


async def test_a_group_that_may_not_be_joined_is_the_reason() -> None:
    async with opened() as desk:
        consumer = await desk.connected()
        consumer.polls.append(errors.GroupAuthorizationFailedError("herald-email"))
        await desk.event(seconds=0.01)
        reason = await desk.log.unready()

    assert reason == "Kafka does not allow this user to use the topic or the group"


async def test_a_bug_while_connecting_is_not_silent() -> None:
    class Broken(FakeConsumer):
        def subscribe(self, *, topics: list[str], listener: Any) -> None:
            raise TypeError("wrong")

    broker = FakeBroker()
    log = KafkaLog(CONNECTION, "email", "g", ["t"], times=QUICK, consumer_class=broker.client(Broken))
    async with log:
        with pytest.raises(TypeError, match="wrong"):
            await log.next_event(frozenset(), 10, 1.0)


async def test_leaving_in_the_middle_of_a_rebalance_does_not_join_again() -> None:
    async with opened(times=GroupTimes(drain=30.0)) as desk:
        consumer = await desk.holding(P1)
        rebalance = asyncio.create_task(consumer.rebalance(P2))
        asked = await desk.event()

    assert isinstance(asked, Revoking)
    assert rebalance.cancelled()
    assert consumer.assigned == {P1}


async def test_a_consumer_that_does_not_stop_leaves_its_group_and_is_let_go_of() -> None:
    async with asyncio.timeout(2), opened() as desk:
        consumer = await desk.connected()
        consumer._coordinator.member_id = "herald-1"
        consumer.hangs = True

    [leave] = consumer.sent
    assert (type(leave), leave._member_id) == (LeaveGroupRequest, "herald-1")
    # Once by `stop`, which hung, and once each by its parts.
    assert consumer.stopped >= 2


async def test_records_of_one_poll_come_as_one_event() -> None:
    async with opened() as desk:
        consumer = await desk.holding(P1, P2)
        desk.log.begin(ONE, 0)
        desk.log.begin(TWO, 0)
        consumer.polls.append({P1: [kafka_record(0)], P2: [kafka_record(0), kafka_record(1)]})
        event = await desk.event(ONE, TWO)

    assert isinstance(event, Fetched)
    assert offsets(event) == [(1, 0), (2, 0), (2, 1)]
