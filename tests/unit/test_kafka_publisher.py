"""Writing to Kafka: batches, order, limits of time and room, and replacing a producer that broke."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import TopicPartition, errors

from adapters.kafka_batches import Backlog
from adapters.kafka_connection import KafkaConnection
from adapters.kafka_producer import LiveProducer, is_fatal
from adapters.kafka_publisher import KafkaPublisher, WritingClient
from domain.errors import HeraldError
from domain.log import NewRecord, Receipt, Shard, Unconfirmed
from tests.kafka.fakes import REFUSED, FakeBroker, FakeProducer

ONE = Shard("transactions", 1)
TWO = Shard("transactions", 2)
CONNECTION = KafkaConnection(bootstrap_servers="127.0.0.1:1")
P1 = TopicPartition("transactions", 1)
PAIRS = [("transactions", number) for number in range(6)]


def record(shard: Shard, value: Any = b"x") -> NewRecord:
    return NewRecord(shard, None, value, (("content-type", b"application/json"),))


@asynccontextmanager
async def publishing(broker: FakeBroker, limit: float = 2.0, **options: Any) -> AsyncIterator[KafkaPublisher]:
    options = {"gather_seconds": 0.0, **options}
    publisher = KafkaPublisher(CONNECTION, limit, producer_class=broker.client(FakeProducer), **options)
    async with publisher:
        yield publisher


def kinds(answers: Sequence[Receipt | Unconfirmed]) -> list[type]:
    return [type(answer) for answer in answers]


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_offsets_are_those_of_each_record_in_its_shard() -> None:
    broker = FakeBroker()
    async with publishing(broker) as publisher:
        await publisher.publish([record(ONE)])
        answers = await publisher.publish([record(ONE), record(TWO), record(ONE)])

    assert answers == [Receipt(1), Receipt(0), Receipt(2)]


async def test_the_producer_waits_for_all_replicas_and_is_not_idempotent() -> None:
    broker = FakeBroker()
    async with publishing(broker, limit=8.0) as publisher:
        await publisher.publish([record(ONE)])

    options = broker.newest.options
    assert (options["acks"], options["enable_idempotence"]) == ("all", False)
    assert options["request_timeout_ms"] == 8000


async def test_what_comes_while_a_batch_is_under_way_travels_in_the_next_one() -> None:
    broker = FakeBroker()
    broker.hold = asyncio.Event()
    async with publishing(broker) as publisher:
        first = asyncio.create_task(publisher.publish([record(ONE)]))
        await settle()
        others = [asyncio.create_task(publisher.publish([record(ONE)])) for _ in range(5)]
        await settle()
        broker.hold.set()
        answers = [await call for call in [first, *others]]

    assert broker.batches == [(P1, 1), (P1, 5)]
    assert answers == [[Receipt(n)] for n in range(6)]


async def test_all_partitions_that_wait_depart_in_one_turn_so_that_a_broker_gets_one_request() -> None:
    broker = FakeBroker()
    broker.hold = asyncio.Event()
    shards = [Shard("transactions", number) for number in range(6)]
    async with publishing(broker) as publisher:
        first = asyncio.create_task(publisher.publish([record(ONE)]))
        await settle()
        calls = [asyncio.create_task(publisher.publish([record(shard)])) for shard in shards]
        await settle()
        broker.hold.set()
        answers = [(await call)[0] for call in [first, *calls]]

    # The first one's partition has its batch under way; the other five need not wait for it.
    assert broker.batches == [(P1, 1), *((TopicPartition(*one), 1) for one in PAIRS if one != P1), (P1, 1)]
    assert answers == [Receipt(0), Receipt(0), Receipt(1), *[Receipt(0)] * 4]


async def test_a_departure_waits_for_company_only_where_the_last_one_had_much() -> None:
    broker = FakeBroker()
    async with asyncio.timeout(5), publishing(broker, limit=0.1, gather_seconds=60.0) as publisher:
        # Each of these goes at once, however long a departure may wait for company.
        alone = [await publisher.publish([record(ONE)]) for _ in range(3)]
        await publisher.publish([record(ONE)] * 8)
        waiting = asyncio.create_task(publisher.publish([record(ONE)]))
        await settle()
        sent = len(broker.batches)

    assert alone == [[Receipt(n)] for n in range(3)]
    assert sent == 4
    assert kinds(await waiting) == [Unconfirmed]


async def test_a_partition_that_fails_takes_none_of_the_same_departure_with_it() -> None:
    broker = FakeBroker()
    broker.answers.append(errors.NotEnoughReplicasError())
    async with publishing(broker) as publisher:
        answers = await publisher.publish([record(ONE), record(TWO), record(ONE), record(TWO)])

    assert kinds(answers) == [Unconfirmed, Receipt, Unconfirmed, Receipt]


async def test_a_topic_that_is_not_there_keeps_no_other_topic_waiting() -> None:
    broker = FakeBroker()
    broker.missing = {"nowhere"}
    async with publishing(broker, limit=0.2) as publisher:
        lost = asyncio.create_task(publisher.publish([record(Shard("nowhere", 0))]))
        await settle()
        there = await publisher.publish([record(ONE)])

    assert there == [Receipt(0)]
    assert kinds(await lost) == [Unconfirmed]


async def test_a_call_that_fills_several_batches_is_written_in_order() -> None:
    broker = FakeBroker()
    values = [bytes([number]) * 100_000 for number in range(7)]
    async with publishing(broker) as publisher:
        answers = await publisher.publish([record(ONE, value) for value in values])
        after = await publisher.publish([record(ONE)])

    assert answers == [Receipt(number) for number in range(7)]
    assert [count for _, count in broker.batches] == [2, 2, 2, 1, 1]
    assert after == [Receipt(7)]


async def test_a_record_without_a_kafka_form_ends_its_calls_order_and_not_what_came_before() -> None:
    broker = FakeBroker()
    async with publishing(broker) as publisher:
        answers = await publisher.publish([record(ONE), record(ONE, "not bytes"), record(ONE), record(TWO)])

    assert kinds(answers) == [Receipt, Unconfirmed, Unconfirmed, Receipt]


async def test_room_is_free_again_whatever_became_of_what_had_it() -> None:
    broker = FakeBroker()
    broker.answers.append(errors.NotEnoughReplicasError())
    async with publishing(broker, waiting_records=3) as publisher:
        lost = await publisher.publish([record(ONE, b"x" * 300_000), record(ONE), record(ONE)])
        formless = await publisher.publish([record(ONE), record(ONE, "not bytes"), record(ONE)])
        cancelled = asyncio.create_task(publisher.publish([record(TWO)] * 3))
        await asyncio.sleep(0)
        cancelled.cancel()
        await settle()
        answers = await publisher.publish([record(ONE)] * 3)

    assert kinds(lost) == [Unconfirmed] * 3
    assert kinds(formless) == [Receipt, Unconfirmed, Unconfirmed]
    assert kinds(answers) == [Receipt] * 3


async def test_headers_count_for_the_room_because_other_producers_may_be_long() -> None:
    broker = FakeBroker()
    long = NewRecord(ONE, None, b"", (("trace", b"x" * 2000),))
    async with publishing(broker, waiting_bytes=1000) as publisher:
        answers = await publisher.publish([long])

    assert answers == [Unconfirmed("too much is waiting for Kafka already")]


async def test_a_call_that_comes_after_the_closing_is_answered_at_once() -> None:
    broker = FakeBroker()
    async with asyncio.timeout(5):
        async with publishing(broker, limit=60.0) as publisher:
            await publisher.publish([record(ONE)])
        answers = await publisher.publish([record(ONE)])

    assert answers == [Unconfirmed("the connection to Kafka is being closed")]


async def test_a_topic_that_is_not_made_yet_is_waited_for_because_a_broker_would_make_it() -> None:
    broker = FakeBroker()
    broker.missing = {"transactions"}
    async with publishing(broker, limit=0.2) as publisher:
        [early] = await publisher.publish([record(ONE)])
        written = list(broker.batches)
    async with publishing(broker, limit=5.0) as publisher:
        waiting = asyncio.create_task(publisher.publish([record(ONE)]))
        await settle()
        broker.missing.clear()
        [late] = await waiting

    assert isinstance(early, Unconfirmed)
    assert (written, late) == ([], Receipt(0))


async def test_a_record_that_is_not_confirmed_takes_the_later_ones_of_its_shard_with_it() -> None:
    broker = FakeBroker()
    broker.answers.append(errors.NotEnoughReplicasError())
    # The first record fills a batch alone, so that the second one waits for the next.
    batch = [record(ONE, b"x" * 300_000), record(ONE), record(TWO), record(ONE)]
    async with publishing(broker) as publisher:
        answers = await publisher.publish(batch)
        after = await publisher.publish([record(ONE)])

    assert kinds(answers) == [Unconfirmed, Unconfirmed, Receipt, Unconfirmed]
    assert answers[0] == Unconfirmed("too few replicas of the partition are in sync")
    assert after == [Receipt(0)]


async def test_batches_that_fail_one_after_the_other_are_told_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = FakeBroker()
    broker.answers.extend(errors.NotEnoughReplicasError() for _ in range(20))
    async with publishing(broker) as publisher:
        for number in range(20):
            await publisher.publish([record(Shard("transactions", number))])

    told = [line for line in caplog.records if getattr(line, "action", "") == "kafka_batch_unconfirmed"]
    assert len(told) == 1


async def test_a_call_ends_in_time_and_what_no_batch_took_is_never_written() -> None:
    broker = FakeBroker()
    broker.hold = asyncio.Event()
    async with publishing(broker, limit=0.02) as publisher:
        first = asyncio.create_task(publisher.publish([record(ONE)]))
        await settle()
        answers = [await publisher.publish([record(ONE)]), await first]
        broker.hold.set()
        await settle()

    assert answers == [[Unconfirmed("Kafka did not confirm in time")]] * 2
    assert broker.batches == [(P1, 1)]


async def test_a_cancelled_call_is_not_written_later() -> None:
    broker = FakeBroker()
    async with publishing(broker, gather_seconds=0.01) as publisher:
        call = asyncio.create_task(publisher.publish([record(TWO)]))
        await asyncio.sleep(0)
        call.cancel()
        answers = await publisher.publish([record(ONE)])

    assert answers == [Receipt(0)]
    assert broker.batches == [(P1, 1)]


async def test_too_much_at_once_is_refused_at_once() -> None:
    broker = FakeBroker()
    broker.hold = asyncio.Event()
    async with publishing(broker, limit=5.0, waiting_records=2) as publisher:
        call = asyncio.create_task(publisher.publish([record(ONE), record(ONE)]))
        await settle()
        refused = await publisher.publish([record(TWO)])
        broker.hold.set()
        await call
        answers = await publisher.publish([record(TWO)])

    assert refused == [Unconfirmed("too much is waiting for Kafka already")]
    assert answers == [Receipt(0)]


async def test_too_many_bytes_at_once_are_refused_too_and_order_holds() -> None:
    broker = FakeBroker()
    async with publishing(broker, waiting_bytes=1000) as publisher:
        answers = await publisher.publish([record(ONE, b"x" * 2000), record(ONE)])

    assert kinds(answers) == [Unconfirmed, Unconfirmed]


async def test_a_batch_that_is_too_large_is_halved_until_only_the_culprit_is_refused() -> None:
    broker = FakeBroker()
    # All four; the first two; then, one by one, the third is the one too large.
    broker.answers.extend([errors.MessageSizeTooLargeError()] * 3)
    calls = [[record(ONE, value)] for value in (b"too large", b"fits", b"fits", b"fits")]
    async with publishing(broker) as publisher:
        answers = await asyncio.gather(*map(publisher.publish, calls))

    assert answers[0] == [Unconfirmed("the record is larger than the topic allows")]
    assert answers[1:] == [[Receipt(0)], [Receipt(1)], [Receipt(2)]]
    assert [count for _, count in broker.batches] == [4, 2, 1, 1, 2]


async def test_a_record_that_has_no_kafka_form_does_not_stop_the_others() -> None:
    broker = FakeBroker()
    async with publishing(broker) as publisher:
        answers = await asyncio.gather(
            publisher.publish([record(ONE, "not bytes")]), publisher.publish([record(ONE)])
        )

    assert answers[0] == [Unconfirmed("the record cannot be written in Kafka's form")]
    assert answers[1] == [Receipt(0)]


async def test_brokers_away_at_the_start_are_told_and_waited_for() -> None:
    broker = FakeBroker()
    broker.starts.append(REFUSED)
    async with publishing(broker, limit=0.05) as publisher:
        early = await publisher.publish([record(ONE)])
        reason = await publisher.unready()
        late = await asyncio.wait_for(until_confirmed(publisher), 5)

    assert early == [Unconfirmed("no Kafka broker can be reached")]
    assert reason == "no Kafka broker can be reached"
    # A try that was given up may be written all the same; the receipt is of the last one.
    assert late == [Receipt(sum(broker.ends.values()) - 1)]
    assert broker.clients[0].stopped == 1


async def until_confirmed(publisher: KafkaPublisher) -> Sequence[Receipt | Unconfirmed]:
    answers = await publisher.publish([record(ONE)])
    while kinds(answers) != [Receipt]:
        answers = await publisher.publish([record(ONE)])
    return answers


async def test_a_producer_that_died_is_replaced_at_once() -> None:
    broker = FakeBroker()
    broker.answers.append(errors.KafkaError("Unexpected error during batch delivery"))
    async with publishing(broker) as publisher:
        lost = await publisher.publish([record(ONE)])
        answers = await publisher.publish([record(ONE)])

    assert kinds(lost) == [Unconfirmed]
    assert answers == [Receipt(0)]
    assert len(broker.clients) == 2
    assert broker.clients[0].stopped == 1


async def test_one_that_fails_three_times_in_a_row_is_replaced_too() -> None:
    broker = FakeBroker()
    broker.answers.extend([errors.RequestTimedOutError()] * 3)
    async with publishing(broker) as publisher:
        for _ in range(2):
            await publisher.publish([record(ONE)])
        still_one = len(broker.clients)
        await publisher.publish([record(ONE)])
        await publisher.publish([record(ONE)])

    assert still_one == 1
    assert len(broker.clients) == 2


async def test_one_that_hears_of_no_new_leaders_is_replaced_when_a_batch_fails() -> None:
    broker = FakeBroker()
    async with publishing(broker) as publisher:
        await publisher.publish([record(TWO)])
        broker.newest._sync_task.set_result(None)
        broker.answers.append(errors.NotLeaderForPartitionError())
        await publisher.publish([record(ONE)])
        answers = await publisher.publish([record(ONE)])

    assert kinds(answers) == [Receipt]
    assert len(broker.clients) == 2


async def test_a_success_in_between_keeps_the_producer() -> None:
    broker = FakeBroker()
    async with publishing(broker) as publisher:
        for _ in range(4):
            broker.answers.append(errors.RequestTimedOutError())
            await publisher.publish([record(ONE)])
            await publisher.publish([record(ONE)])

    assert len(broker.clients) == 1


async def test_leaving_answers_who_still_waits() -> None:
    broker = FakeBroker()
    broker.hold = asyncio.Event()
    async with publishing(broker, limit=30.0) as publisher:
        under_way = asyncio.create_task(publisher.publish([record(ONE)]))
        await settle()
        queued = asyncio.create_task(publisher.publish([record(ONE)]))
        await settle()

    assert [await under_way, await queued] == [
        [Unconfirmed("the connection to Kafka is being closed")],
        [Unconfirmed("the connection to Kafka is being closed")],
    ]


async def test_it_is_ready_only_while_a_broker_answers() -> None:
    broker = FakeBroker()
    async with publishing(broker, limit=0.02) as publisher:
        early = await publisher.unready()
        await publisher.publish([record(ONE)])
        ready = await publisher.unready()
        broker.answers_metadata = False
        refused = await publisher.unready()
        broker.answers_metadata = None
        silent = await publisher.unready()

    assert early == "not connected to Kafka yet"
    assert ready is None
    assert refused == "no Kafka broker answers"
    assert silent == "Kafka did not answer in time"


async def test_a_wrong_certificate_is_told_on_entering() -> None:
    connection = KafkaConnection(bootstrap_servers="x:1", security_protocol="SSL", ssl_ca_file="/nowhere")

    with pytest.raises(HeraldError, match="/nowhere"):
        await KafkaPublisher(connection).__aenter__()


async def test_a_broker_that_accepts_and_never_answers_costs_a_bounded_time() -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connection = KafkaConnection(bootstrap_servers=f"127.0.0.1:{port}")
    async with asyncio.timeout(10), server, KafkaPublisher(connection, 0.05) as publisher:
        answers = await publisher.publish([record(ONE)])

    assert kinds(answers) == [Unconfirmed]


async def test_a_producer_that_cannot_stop_is_cut_off() -> None:
    broker = FakeBroker()
    live = LiveProducer(lambda: broker.client(FakeProducer)(max_batch_size=1), stop_seconds=0.01)
    live.open()
    producer = await live.get()
    producer.hangs = True
    producer._sender.sender_task = asyncio.ensure_future(asyncio.Event().wait())
    await live.close()
    await settle()

    assert producer._sender.sender_task.cancelled()
    assert producer.closed == 1


async def test_a_late_failure_of_a_replaced_producer_does_not_hit_the_new_one() -> None:
    broker = FakeBroker()
    live = LiveProducer(lambda: broker.client(FakeProducer)(max_batch_size=1))
    live.open()
    old = await live.get()
    live.failed(old, errors.ProducerClosed())
    new = await live.get()
    live.failed(old, errors.ProducerClosed())
    still = await live.get()
    await live.close()

    assert new is not old
    assert still is new


async def test_the_next_producer_writes_only_when_the_last_one_is_gone() -> None:
    # Or a batch that the old one still had on its way came after what was written since.
    broker = FakeBroker()
    live = LiveProducer(lambda: broker.client(FakeProducer)(max_batch_size=1), stop_seconds=30.0)
    live.open()
    old = await live.get()
    leaving = asyncio.Event()
    old.stop = leaving.wait
    live.failed(old, errors.ProducerClosed())
    await settle()
    meanwhile = len(broker.clients)
    leaving.set()
    new = await live.get()
    await live.close()

    assert meanwhile == 1
    assert new is not old


async def test_closing_while_brokers_are_away_ends_the_trying() -> None:
    broker = FakeBroker()

    class Hanging(FakeProducer):
        async def start(self) -> None:
            await asyncio.Event().wait()

    live = LiveProducer(lambda: broker.client(Hanging)(max_batch_size=1))
    live.open()
    await settle()
    await live.close()

    assert broker.newest.stopped == 1


async def test_a_producer_that_cannot_be_built_is_tried_again() -> None:
    broker = FakeBroker()
    build = broker.client(FakeProducer)
    failures = [ValueError("wrong")]

    def sometimes() -> Any:
        if failures:
            raise failures.pop()
        return build(max_batch_size=1)

    live = LiveProducer(sometimes, first_pause=0.0)
    live.open()
    producer = await live.get()
    await live.close()

    assert producer is broker.newest


def test_only_errors_after_which_nothing_is_sent_any_more_are_fatal() -> None:
    assert is_fatal(errors.KafkaError("Unexpected error during batch delivery"))
    assert is_fatal(errors.OutOfOrderSequenceNumber())
    assert not is_fatal(errors.KafkaConnectionError("away"))
    assert not is_fatal(TimeoutError())


def writing_client(broker: FakeBroker, connection: KafkaConnection = CONNECTION) -> WritingClient:
    return WritingClient(connection, 1.0, 0.0, Backlog(10, 10_000), broker.client(FakeProducer))


async def test_who_seldom_writes_connects_with_the_first_records_and_not_after_its_end() -> None:
    broker = FakeBroker()
    client = writing_client(broker)
    before = len(broker.clients)
    answers = await asyncio.gather(*(client.write([record(ONE)]) for _ in range(3)))
    await client.close()
    late = await client.write([record(ONE)])

    assert (before, len(broker.clients)) == (0, 1)
    assert {kind for answer in answers for kind in kinds(answer)} == {Receipt}
    assert kinds(late) == [Unconfirmed]


async def test_who_never_wrote_never_connects() -> None:
    broker = FakeBroker()
    client = writing_client(broker)
    await client.close()
    late = await client.write([record(ONE)])

    assert kinds(late) == [Unconfirmed]
    assert broker.clients == []


async def test_a_wrong_certificate_is_told_at_each_write() -> None:
    client = writing_client(FakeBroker(), replace(CONNECTION, security_protocol="SSL", ssl_ca_file="/none"))
    for _ in range(2):
        with pytest.raises(HeraldError, match="/none"):
            await client.write([record(ONE)])
    await client.close()
