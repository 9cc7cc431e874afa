"""Dead letters on Kafka: where they go and what their headers say."""

import pytest
from aiokafka import TopicPartition, errors

from adapters.kafka_connection import KafkaConnection
from adapters.kafka_letters import letter_headers
from adapters.kafka_publisher import KafkaDeadLetters
from domain.dead_letter import DeadLetter
from domain.errors import LogUnavailable
from domain.log import Record, Shard
from domain.outcome import DeadLetterReason
from tests.kafka.fakes import FakeBroker, FakeProducer

LETTER = DeadLetter(
    record=Record(Shard("transactions", 4), 17, b"key", None, (("traceparent", b"00-1"),), 0.0),
    group="email",
    reason=DeadLetterReason.REFUSED,
    error="550 not \N{EM DASH} here",
    attempts=3,
    failed_at=1_800_000_000.25,
)


def dead_letters(broker: FakeBroker) -> KafkaDeadLetters:
    connection = KafkaConnection(bootstrap_servers="127.0.0.1:1")
    return KafkaDeadLetters(connection, timeout_seconds=1.0, producer_class=broker.client(FakeProducer))


async def test_a_letter_goes_to_the_one_partition_of_its_groups_topic() -> None:
    broker = FakeBroker()
    async with dead_letters(broker) as letters:
        await letters.keep(LETTER)

    assert broker.batches == [(TopicPartition("transactions.email.dead-letters", 0), 1)]


async def test_a_letter_that_is_not_confirmed_is_an_error_that_names_the_topic() -> None:
    broker = FakeBroker()
    broker.answers.append(errors.NotEnoughReplicasError())
    async with dead_letters(broker) as letters:
        with pytest.raises(LogUnavailable, match=r"transactions\.email\.dead-letters: too few replicas"):
            await letters.keep(LETTER)


def test_the_headers_are_the_original_ones_and_then_heralds() -> None:
    assert letter_headers(LETTER) == (
        ("traceparent", b"00-1"),
        ("herald-reason", b"refused"),
        ("herald-error", "550 not \N{EM DASH} here".encode()),
        ("herald-attempts", b"3"),
        ("herald-topic", b"transactions"),
        ("herald-partition", b"4"),
        ("herald-offset", b"17"),
        ("herald-failed-at", b"2027-01-15T08:00:00.250Z"),
    )
