"""Committed positions: an error must never look like "there never was one"."""

import asyncio
import logging
from typing import Any

import pytest
from aiokafka import TopicPartition, errors
from aiokafka.structs import OffsetAndMetadata

from adapters.kafka_connection import KafkaConnection
from adapters.kafka_positions import KafkaPositions, position_of
from domain.errors import LogUnavailable
from domain.log import Position, Shard
from tests.kafka.fakes import REFUSED, FakeAdmin, FakeBroker

SHARD = Shard("transactions", 1)
P1, P2 = TopicPartition("transactions", 1), TopicPartition("transactions", 2)
CONNECTION = KafkaConnection(bootstrap_servers="127.0.0.1:1")


def test_offset_and_metadata_are_the_position() -> None:
    assert position_of({P1: OffsetAndMetadata(7, "1 2 3")}, SHARD) == Position(7, "1 2 3")


def test_minus_one_means_that_there_never_was_one() -> None:
    assert position_of({P1: OffsetAndMetadata(-1, "")}, SHARD) is None


def test_offset_zero_is_a_position() -> None:
    assert position_of({P1: OffsetAndMetadata(0, "")}, SHARD) == Position(0)


@pytest.mark.parametrize("answer", [{}, {P2: OffsetAndMetadata(3, "")}])
def test_a_partition_missing_from_the_answer_is_an_error(
    answer: dict[TopicPartition, OffsetAndMetadata],
) -> None:
    # This is what aiokafka makes of an error for the whole group, such as NOT_COORDINATOR.
    with pytest.raises(LogUnavailable):
        position_of(answer, SHARD)


async def test_it_asks_until_it_is_told() -> None:
    told = {P1: OffsetAndMetadata(9, "note")}
    broker = FakeBroker().says(
        offsets=[{}, errors.NotCoordinatorForGroupError(), AttributeError("error_code"), told]
    )
    broker.starts.append(REFUSED)
    admin = broker.client(FakeAdmin)
    positions = KafkaPositions(CONNECTION, "herald-email", admin_class=admin, first_pause=0.0)
    position = await positions.committed(SHARD)
    await positions.close()

    assert position == Position(9, "note")
    # Each error is followed by a new client: the old one may know a coordinator that is gone.
    assert [client.stopped for client in broker.clients] == [1] * 5


async def test_a_client_that_answers_is_kept() -> None:
    broker = FakeBroker().says(offsets=[{P1: OffsetAndMetadata(-1, ""), P2: OffsetAndMetadata(4, "")}])
    positions = KafkaPositions(CONNECTION, "herald-email", admin_class=broker.client(FakeAdmin))
    answers = [await positions.committed(SHARD), await positions.committed(Shard("transactions", 2))]
    await positions.close()

    assert answers == [None, Position(4)]
    assert len(broker.clients) == 1


class AdminForOne(FakeAdmin):
    """Fails for partition 1 a few times, and answers for any other when the test lets it."""

    async def list_consumer_group_offsets(self, group_id: str, partitions: list[TopicPartition]) -> Any:
        [asked] = partitions
        if asked == P1:
            return self.broker.answer("offsets")
        assert self.broker.hold is not None
        await self.broker.hold.wait()
        return {asked: OffsetAndMetadata(4, "")} if not self.stopped else {}


async def test_one_that_is_told_nothing_lets_only_that_client_go_which_did_not_tell_it() -> None:
    broker = FakeBroker().says(offsets=[{}, {}, {P1: OffsetAndMetadata(1, "")}])
    broker.hold = asyncio.Event()
    admin = broker.client(AdminForOne)
    positions = KafkaPositions(CONNECTION, "herald-email", admin_class=admin, first_pause=0.0)
    slow = asyncio.create_task(positions.committed(Shard("transactions", 2)))
    await positions.committed(SHARD)
    broker.hold.set()
    answer = await slow
    await positions.close()

    assert answer == Position(4)
    # The slow one's client went with the first failure; its own failure leaves the newest one alone.
    assert len(broker.clients) == 3


async def test_an_outage_is_told_in_one_line_for_all_shards(caplog: pytest.LogCaptureFixture) -> None:
    told = {TopicPartition("transactions", number): OffsetAndMetadata(9, "") for number in range(20)}
    broker = FakeBroker().says(offsets=[*[{}] * 100, told])
    admin = broker.client(FakeAdmin)
    positions = KafkaPositions(CONNECTION, "herald-email", admin_class=admin, first_pause=0.0)
    with caplog.at_level(logging.WARNING, "herald.kafka"):
        await asyncio.gather(*[positions.committed(Shard("transactions", number)) for number in range(20)])
    await positions.close()

    assert len(caplog.records) == 1
