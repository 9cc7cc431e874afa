import asyncio
import logging
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.sqlite_dead_letters import SqliteDeadLetters
from adapters.sqlite_retention import SqliteDeadLetterRetention, SqliteRetention
from adapters.sqlite_schema import group_path
from domain.errors import LogUnavailable, UnknownVersion
from domain.log import Bounds, Position, Receipt, Shard
from domain.topic import Topic
from tests.contracts.dead_letters import letter
from tests.contracts.rig import Reader, record
from tests.fakes import FakeClock
from tests.sqlite_rig import SqliteRig

HOUR = 3600.0
SHARD = Shard("transactions", 0)
OTHER = Shard("transactions", 1)
TOPIC = Topic(name="transactions", partitions=3, retention_hours=24, groups=("email", "sms"))


@pytest.fixture
async def rig(tmp_path: Path) -> SqliteRig:
    return await SqliteRig(tmp_path).make_topics()


def clock_after(hours: float) -> FakeClock:
    return FakeClock(time.time() + hours * HOUR)


def retention(rig: SqliteRig, *topics: Topic, hours: float = 25) -> SqliteRetention:
    return SqliteRetention(rig.path, topics or [TOPIC], clock_after(hours), 90)


async def publish(rig: SqliteRig, count: int, shard: Shard = SHARD) -> None:
    async with rig.publisher() as publisher:
        await publisher.publish([record(shard, "x" * 300)] * count)


async def finish(rig: SqliteRig, group: str, **offsets: int) -> None:
    """`finish(rig, "email", p0=3)`: the group committed 3 in partition 0."""
    async with rig.log(group) as log:
        await Reader(log, rig.patience).until_held(rig.shards())
        await log.commit({Shard(rig.topic, int(name[1:])): Position(at) for name, at in offsets.items()})


async def bounds(rig: SqliteRig, shard: Shard = SHARD) -> Bounds:
    async with rig.log("onlooker") as log:
        await Reader(log, rig.patience).until_held(rig.shards())
        return (await log.bounds({shard}))[shard]


async def test_old_rows_go_once_every_group_has_finished_them(rig: SqliteRig) -> None:
    await publish(rig, 10)
    await finish(rig, "email", p0=8)
    await finish(rig, "sms", p0=5)
    async with retention(rig) as subject:
        deleted = await subject.prune_once()

    assert deleted == 5
    assert await bounds(rig) == Bounds(5, 10)


async def test_what_one_group_never_touched_stays(rig: SqliteRig) -> None:
    await publish(rig, 10)
    await publish(rig, 10, OTHER)
    await finish(rig, "email", p0=10, p1=10)
    await finish(rig, "sms", p1=10)
    async with retention(rig) as subject:
        deleted = await subject.prune_once()

    assert deleted == 10
    assert await bounds(rig, SHARD) == Bounds(0, 10)
    assert await bounds(rig, OTHER) == Bounds(10, 10)


async def test_nothing_goes_while_a_group_has_no_file_yet(rig: SqliteRig) -> None:
    await publish(rig, 10)
    await finish(rig, "email", p0=10)
    async with retention(rig, hours=10_000) as subject:
        deleted = await subject.prune_once()

    assert deleted == 0


async def test_rows_within_the_retention_time_stay(rig: SqliteRig) -> None:
    await publish(rig, 10)
    await finish(rig, "email", p0=10)
    await finish(rig, "sms", p0=10)
    async with retention(rig, hours=23) as subject:
        deleted = await subject.prune_once()

    assert deleted == 0


async def test_a_topic_without_groups_keeps_by_time_alone(rig: SqliteRig) -> None:
    await publish(rig, 10)
    async with retention(rig, replace(TOPIC, groups=())) as subject:
        deleted = await subject.prune_once()

    assert deleted == 10


async def test_a_position_beyond_the_end_takes_no_more_than_there_is(rig: SqliteRig) -> None:
    await publish(rig, 3)
    await finish(rig, "email", p0=99)
    await finish(rig, "sms", p0=99)
    async with retention(rig) as subject:
        deleted = await subject.prune_once()

    assert deleted == 3


async def test_offsets_go_on_after_all_rows_are_gone(rig: SqliteRig) -> None:
    await publish(rig, 4)
    await finish(rig, "email", p0=4)
    await finish(rig, "sms", p0=4)
    async with retention(rig) as subject:
        await subject.prune_once()
    async with rig.publisher() as publisher:
        answers = await publisher.publish([record(SHARD, "next")])

    assert answers == [Receipt(4)]


async def test_many_rows_go_in_slices_with_pauses_between(rig: SqliteRig) -> None:
    await publish(rig, 1_200)
    await finish(rig, "email", p0=1_200)
    await finish(rig, "sms", p0=1_200)
    clock = clock_after(25)
    async with SqliteRetention(rig.path, [TOPIC], clock, 90) as subject:
        pruning = asyncio.ensure_future(subject.prune_once())
        async with asyncio.timeout(rig.patience):
            while (await bounds(rig)).first == 0:
                await clock.settle()
        first_slice = (await bounds(rig)).first
        while not pruning.done():
            await asyncio.sleep(0.001)
            await clock.advance(0.01)

    assert first_slice == 500
    assert pruning.result() == 1_200


async def test_rows_go_only_from_the_front(rig: SqliteRig) -> None:
    await publish(rig, 3)
    await finish(rig, "email", p0=3)
    await finish(rig, "sms", p0=3)
    with closing(sqlite3.connect(rig.path, isolation_level=None)) as machine_set_back:
        machine_set_back.execute(
            "UPDATE records SET time = time + 100000 WHERE id = (SELECT min(id) FROM records)"
        )
    async with retention(rig) as subject:
        deleted = await subject.prune_once()

    assert deleted == 0


def pages(rig: SqliteRig) -> int:
    with closing(sqlite3.connect(rig.path)) as connection:
        (count,) = connection.execute("PRAGMA page_count").fetchone()
    return int(count)


async def test_the_file_stays_bounded_under_steady_load(rig: SqliteRig) -> None:
    sizes = []
    async with retention(rig) as subject:
        for n in range(1, 7):
            await publish(rig, 400)
            await finish(rig, "email", p0=400 * n)
            await finish(rig, "sms", p0=400 * n)
            await subject.prune_once()
            sizes.append(pages(rig))

    assert sizes[-1] <= sizes[1]


async def test_a_groups_file_of_a_newer_herald_keeps_everything(
    rig: SqliteRig, caplog: pytest.LogCaptureFixture
) -> None:
    await publish(rig, 3)
    await finish(rig, "email", p0=3)
    await finish(rig, "sms", p0=3)
    with closing(sqlite3.connect(group_path(rig.path, "sms"))) as newer:
        newer.execute("PRAGMA user_version = 99")
    clock = clock_after(25)
    async with SqliteRetention(rig.path, [TOPIC], clock, 90) as subject:
        with pytest.raises(UnknownVersion):
            await subject.prune_once()
        with caplog.at_level(logging.WARNING, "herald.log"):
            running = asyncio.ensure_future(subject.run())
            async with asyncio.timeout(rig.patience):
                while not caplog.records:
                    await clock.advance(60)
            running.cancel()

    assert "version 99" in caplog.records[0].__dict__["reason"]
    assert await bounds(rig) == Bounds(0, 3)


async def test_it_runs_again_each_minute(rig: SqliteRig, caplog: pytest.LogCaptureFixture) -> None:
    clock = clock_after(25)
    async with SqliteRetention(rig.path, [replace(TOPIC, groups=("email",))], clock, 90) as subject:
        running = asyncio.ensure_future(subject.run())
        await asyncio.sleep(0)
        await publish(rig, 3)
        await finish(rig, "email", p0=3)
        with caplog.at_level(logging.INFO, "herald.log"):
            async with asyncio.timeout(rig.patience):
                while not caplog.records:
                    await asyncio.sleep(0.001)
                    await clock.advance(60)
        running.cancel()

    assert caplog.records[0].__dict__["rows"] == 3


async def test_retention_that_is_not_open_is_an_error(rig: SqliteRig) -> None:
    async with retention(rig) as subject:
        await subject._file.thread.call(subject._file._close)
        with pytest.raises(LogUnavailable):
            await subject.prune_once()


async def test_old_dead_letters_go_and_younger_ones_stay(rig: SqliteRig) -> None:
    group_file = rig.group_file("email")
    clock = FakeClock()
    old, young = (
        replace(letter(rig, offset), failed_at=clock.now() - days * 24 * HOUR)
        for offset, days in ((1, 91), (2, 89))
    )
    async with (
        SqliteDeadLetters(group_file) as dead_letters,
        SqliteDeadLetterRetention(group_file, 90, clock) as subject,
    ):
        await dead_letters.keep(old)
        await dead_letters.keep(young)
        deleted = await subject.prune_once()

    assert deleted == 1
    assert [kept.record.offset for kept in await rig.kept("email")] == [2]


async def test_who_stands_by_deletes_no_dead_letters(rig: SqliteRig) -> None:
    async with rig.group_file("email") as active, rig.group_file("email") as standby:
        await active.take_over()
        async with SqliteDeadLetterRetention(standby, 0, FakeClock()) as subject:
            deleted = await subject.prune_once()

    assert deleted == 0


async def test_dead_letters_are_looked_at_each_minute(
    rig: SqliteRig, caplog: pytest.LogCaptureFixture
) -> None:
    group_file = rig.group_file("email")
    clock = FakeClock()
    async with (
        SqliteDeadLetters(group_file) as dead_letters,
        SqliteDeadLetterRetention(group_file, 90, clock) as subject,
    ):
        await dead_letters.keep(replace(letter(rig), failed_at=clock.now() - 91 * 24 * HOUR))
        with caplog.at_level(logging.INFO, "herald.log"):
            running = asyncio.ensure_future(subject.run())
            async with asyncio.timeout(rig.patience):
                while not caplog.records:
                    await asyncio.sleep(0.001)
                    await clock.advance(60)
            running.cancel()

    assert await rig.kept("email") == []
