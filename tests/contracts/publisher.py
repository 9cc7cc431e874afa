"""What every `MessagePublisher` keeps."""

import asyncio
from time import time

import pytest

from domain.log import NewRecord, Receipt, Shard, Unconfirmed
from tests.contracts.rig import Reader, Rig, eventually_ready, record


def offsets(answers: object) -> list[int]:
    assert isinstance(answers, list | tuple)
    return [answer.offset if isinstance(answer, Receipt) else -1 for answer in answers]


async def read_back(rig: Rig, count: int) -> Reader:
    async with rig.log("readers") as log:
        reader = Reader(log, rig.patience)
        await reader.until_read(count)
        return reader


class PublisherContract:
    @pytest.fixture
    def rig(self) -> Rig:
        raise NotImplementedError

    async def test_a_receipt_names_the_offset_in_the_shard_it_was_meant_for(self, rig: Rig) -> None:
        async with rig.publisher() as publisher:
            answers = await publisher.publish([record(rig.shard(1), "one")])
        reader = await read_back(rig, 1)

        assert answers[0] == Receipt(0)
        assert (reader.records[0].shard, reader.records[0].offset) == (rig.shard(1), 0)

    async def test_answers_come_in_the_order_given_over_several_shards(self, rig: Rig) -> None:
        async with rig.publisher() as publisher:
            first = await publisher.publish([record(rig.shard(1), "a")])
            answers = await publisher.publish([record(rig.shard(n), "b") for n in (0, 1, 0, 2, 1)])

        assert offsets(first) == [0]
        assert offsets(answers) == [0, 1, 1, 0, 2]

    async def test_records_of_one_shard_keep_the_order_given(self, rig: Rig) -> None:
        values = [str(n) for n in range(50)]
        async with rig.publisher() as publisher:
            answers = await publisher.publish([record(rig.shard(), value, key="k") for value in values])
        reader = await read_back(rig, 50)

        assert offsets(answers) == list(range(50))
        assert reader.values(rig.shard()) == values

    async def test_calls_that_wait_for_each_other_keep_their_order(self, rig: Rig) -> None:
        async with rig.publisher() as publisher:
            for n in range(10):
                await publisher.publish([record(rig.shard(), str(n))])
        reader = await read_back(rig, 10)

        assert reader.values(rig.shard()) == [str(n) for n in range(10)]

    async def test_concurrent_calls_get_offsets_of_their_own(self, rig: Rig) -> None:
        async with rig.publisher() as publisher:
            batch = [record(rig.shard(), "x"), record(rig.shard(), "y")]
            answers = await asyncio.gather(*(publisher.publish(batch) for _ in range(20)))

        assert sorted(offset for answer in answers for offset in offsets(answer)) == list(range(40))

    async def test_key_value_and_headers_come_back_byte_for_byte(self, rig: Rig) -> None:
        headers = (("content-type", b"application/json"), ("twice", b"\x00\xff"), ("twice", b""))
        sent = NewRecord(rig.shard(), b"\xfe key", b"\x00 value \xff", headers)
        async with rig.publisher() as publisher:
            await publisher.publish([sent])
        reader = await read_back(rig, 1)

        back = reader.records[0]
        assert (back.key, back.value, back.headers) == (sent.key, sent.value, headers)

    async def test_no_key_and_an_empty_key_are_not_the_same(self, rig: Rig) -> None:
        async with rig.publisher() as publisher:
            await publisher.publish([NewRecord(rig.shard(), None, b""), NewRecord(rig.shard(), b"", b"")])
        reader = await read_back(rig, 2)

        assert [(one.key, one.value, one.headers) for one in reader.records] == [
            (None, b"", ()),
            (b"", b"", ()),
        ]

    async def test_a_record_carries_the_time_at_which_the_log_took_it(self, rig: Rig) -> None:
        before = time()
        async with rig.publisher() as publisher:
            await publisher.publish([record(rig.shard(), "one")])
        reader = await read_back(rig, 1)

        assert before - 1 <= reader.records[0].timestamp <= time() + 1

    async def test_the_same_record_published_again_is_added_again(self, rig: Rig) -> None:
        async with rig.publisher() as publisher:
            once = await publisher.publish([record(rig.shard(), "one")])
            twice = await publisher.publish([record(rig.shard(), "one")])

        assert offsets(once) + offsets(twice) == [0, 1]

    async def test_publishing_nothing_answers_nothing(self, rig: Rig) -> None:
        async with rig.publisher() as publisher:
            answers = await publisher.publish([])

        assert list(answers) == []

    async def test_another_instance_goes_on_with_the_offsets(self, rig: Rig) -> None:
        async with rig.publisher() as publisher:
            await publisher.publish([record(rig.shard(), "one")])
        async with rig.publisher() as publisher:
            answers = await publisher.publish([record(rig.shard(), "two")])

        assert offsets(answers) == [1]

    async def test_a_partition_that_does_not_exist_takes_no_other_record_with_it(self, rig: Rig) -> None:
        batch = [record(Shard(rig.topic, partition), "x") for partition in (0, 99, 1, 99)]
        async with rig.publisher() as publisher:
            answers = await publisher.publish(batch)

        assert [type(answer) for answer in answers] == [Receipt, Unconfirmed, Receipt, Unconfirmed]

    async def test_a_cancelled_call_leaves_the_publisher_working(self, rig: Rig) -> None:
        async with rig.publisher() as publisher:
            call = asyncio.ensure_future(publisher.publish([record(rig.shard(1), "cancelled")]))
            await asyncio.sleep(0)
            call.cancel()
            answers = await publisher.publish([record(rig.shard(), "next")])

        assert offsets(answers) == [0]

    async def test_without_the_log_every_record_is_unconfirmed_and_nothing_is_raised(self, rig: Rig) -> None:
        async with asyncio.timeout(rig.patience), rig.unreachable_publisher() as publisher:
            answers = await publisher.publish([record(rig.shard(n), "x") for n in (0, 1, 0)])

        assert [type(answer) for answer in answers] == [Unconfirmed] * 3

    async def test_it_says_whether_the_log_answers(self, rig: Rig) -> None:
        async with rig.publisher() as publisher:
            await eventually_ready(publisher, rig.patience)
        async with asyncio.timeout(rig.patience), rig.unreachable_publisher() as publisher:
            reason = await publisher.unready()

        assert reason
        assert "\n" not in reason
