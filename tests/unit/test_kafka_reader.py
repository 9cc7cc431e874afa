"""Stretches of partitions, read over one shared client: on a consumer without a broker."""

import asyncio
import contextlib
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition, errors

from adapters.kafka_connection import KafkaConnection
from adapters.kafka_reader import SLICE_RECORDS, KafkaReader
from domain.errors import LogUnavailable
from domain.log import Bounds
from tests.kafka.fakes import REFUSED, FakeBroker, FakeClient

ONE, TWO = TopicPartition("ledger", 1), TopicPartition("ledger", 2)


class Shelf(FakeBroker):
    """What the partitions hold. `is_silent`: fetches are not answered. `room`: partitions in an answer."""

    def __init__(self) -> None:
        super().__init__()
        self.offsets: dict[TopicPartition, list[int]] = defaultdict(list)
        self.firsts: dict[TopicPartition, int] = defaultdict(int)
        self.is_silent = False
        self.room = 1000
        self.error: Exception | None = None

    def reader(self, seconds: float = 5.0, linger: float = 5.0) -> KafkaReader:
        connection = KafkaConnection(bootstrap_servers="127.0.0.1:1")
        consumer_class = self.client(ShelfConsumer)
        return KafkaReader(
            connection, answer_seconds=seconds, linger_seconds=linger, consumer_class=consumer_class
        )


class ShelfConsumer(FakeClient):
    """A consumer without a group: assigning anew forgets every position."""

    broker: Shelf

    def __init__(self, broker: Shelf, options: dict[str, Any]) -> None:
        super().__init__(broker, options)
        self.positions: dict[TopicPartition, int] = {}
        self.paused: set[TopicPartition] = set()
        self.answered = 0
        self._subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=self))

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.positions = dict.fromkeys(partitions, -1)
        self.paused = set()

    def assignment(self) -> set[TopicPartition]:
        return set(self.positions)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.positions[partition] = offset

    def pause(self, partition: TopicPartition) -> None:
        self.paused.add(partition)

    def resume(self, partition: TopicPartition) -> None:
        self.paused.discard(partition)

    def state_value(self, partition: TopicPartition) -> Any:
        return SimpleNamespace(position=self.positions[partition], has_valid_position=True)

    def last_poll_timestamp(self, _: TopicPartition) -> int | None:
        return self.answered or None

    def highwater(self, partition: TopicPartition) -> int:
        return self.broker.ends[partition]

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {partition: self.broker.firsts[partition] for partition in partitions}

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {partition: self.broker.ends[partition] for partition in partitions}

    async def getmany(self, partition: TopicPartition, *, timeout_ms: int, max_records: int) -> Any:
        await asyncio.sleep(0)
        if self.broker.error is not None:
            raise self.broker.error
        if self.stopped:
            raise errors.ConsumerStoppedError
        if self.broker.is_silent or partition in self.paused:
            return {}
        position = self.positions[partition]
        if position < self.broker.firsts[partition]:
            raise errors.OffsetOutOfRangeError({partition: position})
        self.answered += 1
        there = [offset for offset in self.broker.offsets[partition] if offset >= position][:max_records]
        has_room = list(self.positions).index(partition) < self.broker.room
        if not there or not has_room:
            return {}
        self.positions[partition] = there[-1] + 1
        return {partition: [SimpleNamespace(offset=offset) for offset in there]}


def shelf(*offsets: int, end: int, first: int = 0) -> Shelf:
    shelf = Shelf()
    for partition in (ONE, TWO):
        shelf.offsets[partition] = list(offsets)
        shelf.ends[partition] = end
        shelf.firsts[partition] = first
    return shelf


async def read(reader: KafkaReader, first: int, end: int, partition: TopicPartition = ONE) -> list[list[int]]:
    async with asyncio.timeout(5):
        return [[record.offset for record in some] async for some in reader.read(partition, first, end)]


async def test_a_stretch_is_read_in_slices_up_to_its_end() -> None:
    there = shelf(*range(1300), end=1300)
    reader = there.reader()
    slices = await read(reader, 100, 1200)
    await reader.close()

    assert [offset for some in slices for offset in some] == list(range(100, 1200))
    assert max(map(len, slices)) == SLICE_RECORDS


async def test_what_compaction_took_is_passed_over_also_at_the_end() -> None:
    reader = shelf(2, 3, 7, end=12).reader()
    slices = await read(reader, 0, 12)
    await reader.close()

    assert slices == [[2, 3, 7]]


async def test_a_stretch_of_nothing_asks_nobody() -> None:
    there = shelf(end=5)
    slices = await read(there.reader(), 5, 5)

    assert slices == []
    assert there.clients == []


async def test_what_retention_takes_meanwhile_is_passed_over() -> None:
    there = shelf(*range(10), end=10, first=4)
    there.offsets[ONE] = list(range(4, 10))
    reader = there.reader()
    slices = await read(reader, 0, 10)
    await reader.close()

    assert slices == [[4, 5, 6, 7, 8, 9]]


async def test_where_all_is_taken_meanwhile_nothing_is_read() -> None:
    there = shelf(end=10, first=10)
    reader = there.reader()
    slices = await read(reader, 0, 10)
    await reader.close()

    assert slices == []


async def test_a_broker_that_does_not_answer_is_told_and_not_taken_for_an_empty_log() -> None:
    there = shelf(*range(10), end=10)
    there.is_silent = True
    reader = there.reader(seconds=0.05)
    with pytest.raises(LogUnavailable, match="did not answer in time"):
        await read(reader, 0, 10)
    await reader.close()


async def test_bounds_are_first_and_next_offset() -> None:
    reader = shelf(*range(4, 10), end=10, first=4).reader()
    bounds = await reader.bounds([ONE])
    await reader.close()

    assert bounds == {ONE: Bounds(4, 10)}


@pytest.mark.parametrize(("offset", "found"), [(3, None), (4, 4), (5, None), (9, 9), (10, None), (-1, None)])
async def test_a_look_finds_the_record_at_that_very_offset(offset: int, found: int | None) -> None:
    reader = shelf(4, 6, 7, 8, 9, end=10, first=4).reader()
    record = await reader.look(ONE, offset)
    await reader.close()

    assert (record and record.offset) == found


async def test_many_are_read_side_by_side_over_one_client() -> None:
    there = shelf(*range(2000), end=2000)
    reader = there.reader()
    slices = await asyncio.gather(read(reader, 0, 2000), read(reader, 700, 2000, TWO))
    await reader.close()

    assert [[offset for some in one for offset in some] for one in slices] == [
        list(range(2000)),
        list(range(700, 2000)),
    ]
    assert len(there.clients) == 1
    assert there.newest.stopped == 1


async def test_what_found_no_room_in_an_answer_is_not_taken_for_gone() -> None:
    there = shelf(*range(500), end=500)
    there.room = 1
    reader = there.reader()
    slices = await asyncio.gather(read(reader, 0, 500), read(reader, 100, 500, TWO))
    await reader.close()

    assert [[offset for some in one for offset in some] for one in slices] == [
        list(range(500)),
        list(range(100, 500)),
    ]
    assert all(client.stopped == 1 for client in there.clients)


async def test_where_compaction_took_the_last_ones_of_many_all_of_them_end() -> None:
    there = shelf(2, 3, 7, end=12)
    reader = there.reader()
    one, two = await asyncio.gather(read(reader, 0, 12), read(reader, 3, 12, TWO))
    await reader.close()

    assert one == [[2, 3, 7]]
    assert two == [[3, 7]]


async def test_a_reading_that_was_broken_off_may_begin_again() -> None:
    there = shelf(*range(2000), end=2000)
    reader = there.reader()
    async with contextlib.aclosing(reader.read(ONE, 0, 2000)) as broken_off:
        await anext(broken_off)
        slices = await read(reader, 0, 2000)
    again = await read(reader, 1990, 2000)
    await reader.close()

    assert [offset for some in slices for offset in some] == list(range(2000))
    assert again == [list(range(1990, 2000))]


async def test_after_a_failure_the_next_reading_takes_a_new_client() -> None:
    there = shelf(*range(10), end=10)
    there.error = errors.KafkaError("Unexpected error during data retrieval")
    reader = there.reader()
    with pytest.raises(LogUnavailable, match="no Kafka broker answers"):
        await read(reader, 0, 10)
    there.error = None
    slices = await read(reader, 0, 10)
    await reader.close()

    assert slices == [list(range(10))]
    assert [client.stopped for client in there.clients] == [1, 1]


async def test_a_client_that_does_not_start_is_told_and_let_go() -> None:
    there = shelf(*range(10), end=10)
    there.starts.append(REFUSED)
    reader = there.reader()
    with pytest.raises(LogUnavailable, match="no Kafka broker can be reached"):
        await reader.bounds([ONE])
    bounds = await reader.bounds([ONE])
    await reader.close()

    assert bounds == {ONE: Bounds(0, 10)}
    assert there.clients[0].stopped == 1


async def test_a_client_that_nobody_needs_any_more_is_closed() -> None:
    there = shelf(*range(10), end=10)
    reader = there.reader(linger=0.0)
    await read(reader, 0, 10)
    async with asyncio.timeout(5):
        while not there.newest.stopped:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0)
    await read(reader, 0, 10)
    await reader.close()

    assert len(there.clients) == 2


class LoopAhead(asyncio.SelectorEventLoop):
    """Whose time a test puts forward."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


def test_a_client_that_is_needed_again_and_again_stays() -> None:
    there = shelf(*range(10), end=10)

    async def looks() -> list[int]:
        reader, loop, stopped = there.reader(linger=10.0), asyncio.get_running_loop(), []
        assert isinstance(loop, LoopAhead)
        for pause in (6.0, 6.0, 6.0, 11.0):
            await read(reader, 0, 10)
            loop.ahead += pause
            for _ in range(5):
                await asyncio.sleep(0)
            stopped.append(there.newest.stopped)
        await reader.close()
        return stopped

    with asyncio.Runner(loop_factory=LoopAhead) as runner:
        assert runner.run(looks()) == [0, 0, 0, 1]
    assert len(there.clients) == 1


async def test_after_somebody_lost_patience_the_next_reading_takes_a_new_client() -> None:
    # The connection may be dead. Nobody would ever hear of it who is always cut off before.
    there = shelf(*range(10), end=10)
    there.is_silent = True
    reader = there.reader()
    reading = asyncio.create_task(read(reader, 0, 10))
    for _ in range(5):
        await asyncio.sleep(0)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    there.is_silent = False
    slices = await read(reader, 0, 10)
    await reader.close()

    assert slices == [list(range(10))]
    assert [client.stopped for client in there.clients] == [1, 1]


async def test_closing_ends_what_still_reads() -> None:
    there = shelf(*range(2000), end=2000)
    reader = there.reader()
    async with contextlib.aclosing(reader.read(ONE, 0, 2000)) as slices:
        await anext(slices)
        await reader.close()
        with pytest.raises(LogUnavailable):
            await anext(slices)

    assert there.newest.stopped == 1
