"""Asking for records: nothing is lost whatever goes wrong, and a client that has died is told."""

import asyncio

import pytest
from aiokafka import TopicPartition, errors

from adapters.kafka_consumer import NOBODY
from adapters.kafka_poller import KafkaPoller
from adapters.kafka_reading import Reading, Readings
from domain.errors import HeraldError
from domain.log import Shard
from tests.kafka.fakes import FakeBroker, FakeConsumer
from tests.unit.test_kafka_reading import kafka_record, offsets

ONE = Shard("transactions", 1)
P1 = TopicPartition("transactions", 1)


class Desk:
    """A poller with everything it talks to."""

    def __init__(self) -> None:
        self.consumer = FakeConsumer(FakeBroker(), {})
        self.consumer.assigned = frozenset({P1})
        self.readings = Readings()
        self.readings.begin(ONE, 5)
        self.doubted: list[Shard] = []
        self.poller = KafkaPoller(self.consumer, self.readings, self._doubt)

    def _doubt(self, shard: Shard, _reading: Reading) -> None:
        self.doubted.append(shard)

    async def poll(self, *wanted: Shard) -> None:
        self.poller.ask(set(wanted), 10)
        running, _ = self.poller.running()
        await asyncio.wait(running)
        self.poller.collect()


@pytest.fixture
async def desk() -> Desk:
    return Desk()


async def test_records_come_from_what_is_wanted(desk: Desk) -> None:
    desk.consumer.polls.append({P1: [kafka_record(5)]})
    await desk.poll(ONE)

    assert desk.consumer.asked == [(P1,)]
    assert offsets(desk.readings.next_event({ONE}, 10)) == [(1, 5)]


async def test_with_nothing_wanted_nothing_is_asked_for_by_name(desk: Desk) -> None:
    await desk.poll()
    desk.poller.ask(set(), 10)
    running, due = desk.poller.running()

    assert desk.consumer.asked == [(NOBODY,)]
    assert not running  # the next one has time
    assert 0 < due <= 0.2


async def test_one_question_at_a_time(desk: Desk) -> None:
    desk.poller.ask({ONE}, 10)
    desk.poller.ask({ONE}, 10)
    running, _ = desk.poller.running()
    await asyncio.wait(running)

    assert len(desk.consumer.asked) == 1


async def test_what_a_question_brings_that_outlived_a_rebalance_is_asked_for_again(desk: Desk) -> None:
    # It waits until shards are given again, and then brings the first records of the new beginning. They were
    # dropped, as an answer to the old one; aiokafka had moved on, and they were never sent.
    desk.consumer.polls.append({P1: [kafka_record(3), kafka_record(4)]})
    desk.poller.ask({ONE}, 10)
    running, _ = desk.poller.running()
    desk.readings.clear()
    desk.readings.begin(ONE, 3)
    await asyncio.wait(running)
    desk.poller.collect()
    nothing = desk.readings.next_event({ONE}, 10)

    desk.consumer.polls.append({P1: [kafka_record(3), kafka_record(4)]})
    await desk.poll(ONE)

    assert nothing is None
    assert desk.consumer.seeks == [(P1, 3)]
    assert offsets(desk.readings.next_event({ONE}, 10)) == [(1, 3), (1, 4)]


async def test_what_a_question_brings_for_a_shard_that_is_gone_moves_nothing(desk: Desk) -> None:
    desk.consumer.polls.append({P1: [kafka_record(5)]})
    desk.poller.ask({ONE}, 10)
    running, _ = desk.poller.running()
    desk.readings.clear()
    await asyncio.wait(running)
    desk.poller.collect()

    assert desk.consumer.seeks == []


async def test_an_error_goes_back_to_the_next_offset_that_was_not_taken(desk: Desk) -> None:
    # aiokafka has moved its own position on by then, past records that the error made it drop.
    desk.consumer.polls.append({P1: [kafka_record(5), kafka_record(6)]})
    desk.consumer.polls.append(errors.CorruptRecordException())
    await desk.poll(ONE)
    await desk.poll(ONE)

    assert desk.consumer.seeks == [(P1, 7)]
    assert desk.poller.trouble == "Kafka answered CorruptRecordException"


async def test_after_an_error_there_is_a_pause_and_a_success_ends_the_trouble(desk: Desk) -> None:
    desk.consumer.polls.append(errors.GroupAuthorizationFailedError())
    await desk.poll(ONE)
    desk.poller.ask({ONE}, 10)
    running, due = desk.poller.running()
    desk.poller._not_before = 0.0
    await desk.poll(ONE)

    assert not running
    assert 0.5 < due <= 1.0
    assert desk.poller.trouble is None


async def test_a_cancelled_question_is_an_error_like_any_other(desk: Desk) -> None:
    desk.poller.ask({ONE}, 10)
    await desk.poller.close()
    desk.poller.collect()

    assert desk.consumer.seeks == [(P1, 5)]


async def test_a_shard_taken_away_meanwhile_is_not_sought(desk: Desk) -> None:
    desk.consumer.assigned = frozenset()
    desk.consumer.polls.append(errors.CorruptRecordException())
    await desk.poll(ONE)

    assert desk.consumer.seeks == []


async def test_a_position_out_of_range_is_doubted(desk: Desk) -> None:
    desk.consumer.polls.append(errors.OffsetOutOfRangeError({P1: 5}))
    await desk.poll(ONE)

    assert desk.doubted == [ONE]
    assert desk.poller.trouble is None


async def test_what_aiokafka_finds_missing_before_begin_is_ignored(desk: Desk) -> None:
    desk.consumer.polls.append(errors.NoOffsetForPartitionError(P1))
    await desk.poll(ONE)

    assert desk.poller.trouble is None
    assert desk.doubted == []


async def test_a_dead_coordination_ends_the_process(desk: Desk) -> None:
    error = errors.KafkaError("Unexpected error during coordination KeyError()")
    desk.consumer._coordinator._coordination_task.set_exception(error)
    desk.consumer.polls.append(error)
    with pytest.raises(HeraldError, match="left its group"):
        await desk.poll(ONE)


async def test_a_coordination_that_was_cancelled_ends_the_process_too(desk: Desk) -> None:
    # `getmany` then raises the same whenever it is asked, and nobody keeps the membership any more.
    desk.consumer._coordinator._coordination_task.cancel()
    desk.consumer.polls.append(asyncio.CancelledError())
    with pytest.raises(HeraldError, match="left its group"):
        await desk.poll(ONE)


async def test_a_client_that_hears_of_no_new_leaders_ends_the_process(desk: Desk) -> None:
    # With it a partition whose leader moved is asked for where it was for ever, and that is no error.
    desk.consumer._client._sync_task.set_result(None)
    with pytest.raises(HeraldError, match="new leaders"):
        await desk.poll(ONE)


async def test_a_dead_fetch_task_ends_the_process(desk: Desk) -> None:
    # With it `getmany` answers nothing for ever, and no error.
    desk.consumer._fetcher.error_future.set_result(None)
    with pytest.raises(HeraldError, match="stopped fetching"):
        await desk.poll(ONE)


async def test_closing_without_a_question_is_harmless(desk: Desk) -> None:
    await desk.poller.close()

    assert desk.consumer.asked == []


async def test_a_position_beyond_the_records_is_reached(desk: Desk) -> None:
    # Such as the marker of a transaction, which is an offset without a record.
    desk.consumer.polls.append({P1: [kafka_record(5)]})
    desk.consumer.positions[P1] = 7
    await desk.poll(ONE)
    desk.readings.next_event({ONE}, 10)

    assert desk.readings.reached(ONE) == 7


async def test_after_an_error_a_position_is_not_believed(desk: Desk) -> None:
    desk.consumer.polls.append(errors.CorruptRecordException("CRC"))
    desk.consumer.positions[P1] = 7
    await desk.poll(ONE)

    assert desk.readings.reached(ONE) == 5
