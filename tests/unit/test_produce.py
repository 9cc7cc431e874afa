from collections.abc import Sequence
from typing import Self

import pytest

from adapters.memory import MemoryPublisher
from adapters.memory_broker import MemoryBroker
from adapters.message_json import request_of
from application.counts import ProduceCounts
from application.produce import (
    Accepted,
    NoSuchPartition,
    NotConfirmed,
    ProduceMessage,
    UnknownTopic,
    record_headers,
)
from domain.log import NewRecord, Receipt, Record, Shard, Unconfirmed
from domain.message import FieldError, Message, ProduceRequest
from domain.partitioning import partition_of_key, partition_of_request
from domain.topic import Topic, TopicPlan
from tests.fakes import FakeClock

TOPICS = {"t": Topic(name="t", partitions=6)}
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class FlakyPublisher:
    """Confirms until it meets the value it was told; then nothing more of that shard."""

    def __init__(self, fails_at: bytes) -> None:
        self.fails_at = fails_at
        self.calls = 0

    async def publish(self, records: Sequence[NewRecord]) -> Sequence[Receipt | Unconfirmed]:
        self.calls += 1
        broken: set[Shard] = set()
        answers: list[Receipt | Unconfirmed] = []
        for record in records:
            if self.fails_at in record.value:
                broken.add(record.shard)
            answers.append(Unconfirmed("timed out") if record.shard in broken else Receipt(7))
        return answers

    async def unready(self) -> str | None:
        return None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


class Log:
    def __init__(self) -> None:
        plan = TopicPlan(name="t", partitions=6, replication_factor=1, retention_ms=1)
        self.broker = MemoryBroker(FakeClock(), [plan])
        self.counts = ProduceCounts()
        self.produce = ProduceMessage(MemoryPublisher(self.broker), TOPICS, self.counts)

    def records(self, partition: int) -> list[Record]:
        return self.broker.read(Shard("t", partition), 0, 100)


@pytest.fixture
def log() -> Log:
    return Log()


def request(
    request_id: str = "r1", partition: int | None = None, *, key: str | None = None, topic: str = "t"
) -> ProduceRequest:
    message = Message(request_id=request_id, topic_name=topic, email="a@b.c", key=key)
    return request_of(message, partition)


async def test_a_message_with_a_key_goes_where_kafka_would_put_it(log: Log) -> None:
    produced = await log.produce.one(request(key="foobar"))

    partition = partition_of_key("foobar", 6)
    assert produced == Accepted("r1", "t", partition, 0)
    assert [record.key for record in log.records(partition)] == [b"foobar"]


async def test_a_message_without_a_key_goes_where_its_id_says_and_has_none(log: Log) -> None:
    produced = await log.produce.one(request())

    partition = partition_of_request("r1", 6)
    assert produced == Accepted("r1", "t", partition, 0)
    assert [record.key for record in log.records(partition)] == [None]


async def test_a_partition_by_number_wins_and_the_key_stays(log: Log) -> None:
    produced = await log.produce.one(request(partition=5, key="foobar"))

    assert produced == Accepted("r1", "t", 5, 0)
    assert [record.key for record in log.records(5)] == [b"foobar"]


async def test_the_record_holds_the_message_as_json(log: Log) -> None:
    await log.produce.one(request(partition=0))

    (record,) = log.records(0)
    assert record.value == b'{"request_id":"r1","topic_name":"t","email":"a@b.c"}'
    assert record.headers == (("content-type", b"application/json"),)


async def test_a_trace_goes_along(log: Log) -> None:
    await log.produce.one(request(partition=0), record_headers(TRACEPARENT))

    (record,) = log.records(0)
    assert dict(record.headers)["traceparent"] == TRACEPARENT.encode()


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "x",
        TRACEPARENT.upper(),
        TRACEPARENT + "-extra",
        TRACEPARENT + "\n",
        "ff" + TRACEPARENT[2:],
        TRACEPARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        TRACEPARENT.replace("00f067aa0ba902b7", "0" * 16),
        TRACEPARENT.replace("-", "_"),
    ],
)
def test_a_trace_that_is_not_well_formed_is_dropped(traceparent: str) -> None:
    assert record_headers(traceparent) == (("content-type", b"application/json"),)


async def test_an_unknown_topic_writes_nothing(log: Log) -> None:
    assert await log.produce.one(request(topic="u")) == UnknownTopic()


@pytest.mark.parametrize("partition", [-1, 6, 10**40])
async def test_a_partition_out_of_range_writes_nothing(log: Log, partition: int) -> None:
    produced = await log.produce.one(request(partition=partition))

    assert produced == NoSuchPartition(FieldError("#/partition", "must be 0 to 5"))
    assert log.records(0) + log.records(5) == []


def test_no_partition_of_a_topic_that_is_not_known_is_wrong(log: Log) -> None:
    assert log.produce.partition_error("u", 99) is None
    assert log.produce.partition_error(None, 99) is None
    assert log.produce.partition_error("t", None) is None


async def test_a_message_that_the_log_does_not_confirm_may_be_in_it_or_not(log: Log) -> None:
    log.broker.loses_answers = True

    assert await log.produce.one(request()) == NotConfirmed("r1", "the answer was lost")
    assert log.counts.messages == {}


async def test_what_the_log_took_is_counted_by_topic(log: Log) -> None:
    await log.produce.one(request())
    await log.produce.many([request("r2"), request(topic="u")])

    assert log.counts.messages == {"t": 2}


async def test_each_message_of_many_stands_for_itself(log: Log) -> None:
    produced = await log.produce.many(
        [request("r1", 0), request("r2", topic="u"), request("r3", 9), request("r4", 0)]
    )

    assert produced == [
        Accepted("r1", "t", 0, 0),
        UnknownTopic(),
        NoSuchPartition(FieldError("#/partition", "must be 0 to 5")),
        Accepted("r4", "t", 0, 1),
    ]


async def test_after_the_first_that_is_not_confirmed_none_of_its_partition_is() -> None:
    publisher = FlakyPublisher(fails_at=b"r2")
    produce = ProduceMessage(publisher, TOPICS, ProduceCounts())

    produced = await produce.many([request("r1", 0), request("r2", 0), request("r3", 1), request("r4", 0)])

    assert produced == [
        Accepted("r1", "t", 0, 7),
        NotConfirmed("r2", "timed out"),
        Accepted("r3", "t", 1, 7),
        NotConfirmed("r4", "timed out"),
    ]
    assert publisher.calls == 1


async def test_of_nothing_right_the_log_is_not_asked() -> None:
    publisher = FlakyPublisher(fails_at=b"")
    produce = ProduceMessage(publisher, TOPICS, ProduceCounts())

    assert await produce.many([request(topic="u")]) == [UnknownTopic()]
    assert publisher.calls == 0
