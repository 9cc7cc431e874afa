import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from threading import Event

import pytest

from adapters.sqlite_locks import WriteLock
from adapters.sqlite_publisher import SqlitePublisher
from adapters.sqlite_thread import SqliteThread
from domain.errors import StorageBroken
from domain.log import NewRecord, Receipt, Shard, Unconfirmed
from tests.contracts.rig import Reader, plan, record, until
from tests.sqlite_rig import SqliteRig

SHARD = Shard("transactions", 0)


@pytest.fixture
async def rig(tmp_path: Path) -> SqliteRig:
    return await SqliteRig(tmp_path).make_topics()


@pytest.fixture
async def publisher(rig: SqliteRig) -> AsyncIterator[SqlitePublisher]:
    async with SqlitePublisher(rig.path, 8) as publisher:
        yield publisher


def pragma(publisher: SqlitePublisher, text: str) -> None:
    connection = publisher._appender._connection
    assert connection is not None
    connection.execute(f"PRAGMA {text}")


async def pages(publisher: SqlitePublisher, count: int) -> None:
    """A disk with room for so many pages: SQLite's answer is the one for a full disk."""
    await publisher._thread.call(lambda: pragma(publisher, f"max_page_count = {count}"))


async def stored(rig: SqliteRig, count: int) -> Sequence[str]:
    async with rig.log("readers") as log:
        reader = Reader(log, rig.patience)
        await reader.until_read(count)
        await reader.nothing_more()
        return reader.values(SHARD)


async def test_a_full_disk_confirms_nothing_and_says_so(publisher: SqlitePublisher) -> None:
    await pages(publisher, 1)
    big = record(SHARD, "x" * 100_000)
    answers = await publisher.publish([big, record(Shard("transactions", 1), "y")])

    assert [type(answer) for answer in answers] == [Unconfirmed, Unconfirmed]
    assert "is full" in str(answers[0])


async def test_after_a_full_disk_got_room_offsets_go_on_without_a_gap(
    rig: SqliteRig, publisher: SqlitePublisher
) -> None:
    await publisher.publish([record(SHARD, "first")])
    await pages(publisher, 1)
    await publisher.publish([record(SHARD, "x" * 100_000)])
    await pages(publisher, 1_000_000)
    answers = await publisher.publish([record(SHARD, "second")])
    reason = await publisher.unready()

    assert answers == [Receipt(1)]
    assert reason is None
    assert await stored(rig, 2) == ["first", "second"]


async def test_a_file_that_cannot_be_written_is_told_until_it_can(publisher: SqlitePublisher) -> None:
    await publisher._thread.call(lambda: pragma(publisher, "query_only = ON"))
    answers = await publisher.publish([record(SHARD, "x")])
    while_so = await publisher.unready()
    await publisher._thread.call(lambda: pragma(publisher, "query_only = OFF"))
    after = await publisher.unready()

    assert "cannot be written" in str(answers[0])
    assert "cannot be written" in str(while_so)
    assert after is None


async def test_a_file_that_nobody_may_write_is_told_before_the_first_message(
    rig: SqliteRig, publisher: SqlitePublisher
) -> None:
    await publisher._thread.call(lambda: pragma(publisher, "query_only = ON"))
    reason = await publisher.unready()

    assert "cannot be written" in str(reason)


async def test_a_deleted_file_confirms_nothing_any_more(rig: SqliteRig, publisher: SqlitePublisher) -> None:
    rig.path.unlink()
    answers = await publisher.publish([record(SHARD, "x")])

    assert "was moved or deleted" in str(answers[0])


async def test_a_frozen_writer_elsewhere_ends_in_the_time_limit(rig: SqliteRig) -> None:
    with WriteLock(rig.path):
        publisher = await SqlitePublisher(rig.path, 0.05).__aenter__()
        answers = await publisher.publish([record(SHARD, "x"), record(SHARD, "y")])
        reason = await publisher.unready()
    await publisher.__aexit__()

    assert [type(answer) for answer in answers] == [Unconfirmed, Unconfirmed]
    assert "within 0.05 s" in str(answers[0])
    assert "is not written any more" in str(reason)


async def test_what_its_caller_gave_up_before_its_turn_is_not_written(rig: SqliteRig) -> None:
    async with SqlitePublisher(rig.path, 8) as publisher:
        with WriteLock(rig.path):
            first = asyncio.ensure_future(publisher.publish([record(SHARD, "taken")]))
            await asyncio.sleep(0)
            await until(lambda: not publisher._calls)
            given_up = asyncio.ensure_future(publisher.publish([record(SHARD, "given up")]))
            waiting = asyncio.ensure_future(publisher.publish([record(SHARD, "waiting")]))
            await asyncio.sleep(0)
            given_up.cancel()
            await asyncio.wait({given_up})
        answers = [await first, await waiting]

    assert answers == [[Receipt(0)], [Receipt(1)]]
    assert await stored(rig, 2) == ["taken", "waiting"]


async def test_leaving_answers_also_those_for_whom_there_was_no_turn_any_more(rig: SqliteRig) -> None:
    publisher = await SqlitePublisher(rig.path, 60).__aenter__()
    with WriteLock(rig.path):
        # More than a few commits' worth: the thread's next turn comes after its last job.
        calls = [asyncio.ensure_future(publisher.publish([record(SHARD, "x")] * 1500)) for _ in range(10)]
        await asyncio.sleep(0)
        leaving = asyncio.ensure_future(publisher.__aexit__())
        await asyncio.sleep(0)
    await leaving
    async with asyncio.timeout(5):
        answers = [await call for call in calls]

    assert answers[0][0] == Receipt(0)
    assert answers[-1][0] == Unconfirmed("the log is being closed")


@pytest.mark.parametrize(("records", "size"), [(3, 1_000_000), (1_000_000, 3)])
async def test_more_than_may_wait_is_unconfirmed_at_once(rig: SqliteRig, records: int, size: int) -> None:
    async with SqlitePublisher(rig.path, 8, waiting_records=records, waiting_bytes=size) as publisher:
        with WriteLock(rig.path):
            waiting = asyncio.ensure_future(publisher.publish([record(SHARD, "x")] * 3))
            await asyncio.sleep(0)
            async with asyncio.timeout(1):
                too_many = await publisher.publish([record(SHARD, "y")])
        waited = await waiting
        later = await publisher.publish([record(SHARD, "z")] * 4)

    assert "too much waits" in str(too_many[0])
    assert waited == [Receipt(0), Receipt(1), Receipt(2)]
    assert later == [Receipt(n) for n in (3, 4, 5, 6)]


async def test_a_batch_of_any_size_is_written_whole(rig: SqliteRig, publisher: SqlitePublisher) -> None:
    values = [str(n) for n in range(347)]  # 256 + 64 + 16 + 4 + 4 + 1 + 1 + 1 rows a statement
    answers = await publisher.publish([record(SHARD, value) for value in values])

    assert answers == [Receipt(n) for n in range(347)]
    assert await stored(rig, 347) == values


async def test_a_topic_made_meanwhile_is_published_to(rig: SqliteRig, publisher: SqlitePublisher) -> None:
    shard = Shard("fresh", 1)
    before = await publisher.publish([record(shard, "x")])
    async with rig.catalog() as catalog:
        await catalog.create([plan("fresh", 2)])
    after = await publisher.publish([record(shard, "x")])

    assert "no partition 1 of fresh" in str(before[0])
    assert after == [Receipt(0)]


async def test_two_publishers_share_the_offsets_of_a_shard(
    rig: SqliteRig, publisher: SqlitePublisher
) -> None:
    async with SqlitePublisher(rig.path, 8) as other:
        answers = [
            await one.publish([record(SHARD, "x")]) for one in (publisher, other, publisher, publisher, other)
        ]

    assert answers == [[Receipt(n)] for n in range(5)]


async def test_a_record_that_cannot_be_stored_does_not_end_the_writer(
    publisher: SqlitePublisher, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.CRITICAL, "herald.log"):
        answers = await publisher.publish([NewRecord(SHARD, None, b"", (("n" * 70_000, b""),))])
        after = await publisher.publish([record(SHARD, "x")])

    assert isinstance(answers[0], Unconfirmed)
    assert after == [Receipt(0)]


async def test_a_broken_file_stops_the_start_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "herald.db"
    path.write_bytes(b"certainly no database" * 500)

    with pytest.raises(StorageBroken, match="is not a SQLite file"):
        await SqlitePublisher(path, 8).__aenter__()


async def test_entering_does_not_wait_for_whoever_holds_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "herald.db"
    with WriteLock(path):
        publisher = await SqlitePublisher(path, 0.05).__aenter__()
        reason = await publisher.unready()
    await publisher.__aexit__()

    assert "is not written any more" in str(reason)


async def test_a_lower_durability_can_be_asked_for_by_tests_of_it(rig: SqliteRig) -> None:
    async with SqlitePublisher(rig.path, 8, synchronous="NORMAL") as publisher:
        connection = publisher._appender._connection
        assert connection is not None
        level = await publisher._thread.call(lambda: connection.execute("PRAGMA synchronous").fetchone())

    assert level == (1,)


async def test_a_threads_jobs_answer_and_fail_as_they_are() -> None:
    thread = SqliteThread("test")
    thread.start()
    answer = await thread.call(lambda: 42)
    with pytest.raises(ZeroDivisionError):
        await thread.call(lambda: 1 / 0)
    ended: list[str] = []
    await thread.end(lambda: ended.append("ended"))

    assert answer == 42
    assert ended == ["ended"]


async def test_a_job_that_is_cancelled_before_its_turn_is_not_run() -> None:
    thread = SqliteThread("test")
    ran: list[str] = []
    call = asyncio.ensure_future(thread.call(lambda: ran.append("ran")))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait({call})
    thread.start()
    await thread.end(lambda: None)

    assert ran == []


async def test_a_hanging_disk_does_not_hold_the_end_for_ever() -> None:
    thread = SqliteThread("test", end_seconds=0.02)
    thread.start()
    hangs = Event()

    def hang() -> None:
        hangs.wait(10)

    thread.post(hang)
    closed: list[str] = []
    async with asyncio.timeout(5):
        await thread.end(lambda: closed.append("closed"))
    while_it_hung = list(closed)
    hangs.set()
    await until(lambda: closed == ["closed"])

    assert while_it_hung == []
