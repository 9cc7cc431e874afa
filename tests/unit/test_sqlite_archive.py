"""Dead letters in SQLite files: many of them, files of an older Herald, and what is one transaction."""

import os
import sqlite3
import tracemalloc
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.message_json import request_id_of
from adapters.sqlite_archive import SqliteDeadLetterArchive
from adapters.sqlite_retention import SqliteRetention
from adapters.sqlite_schema import group_path
from adapters.system_clock import SystemClock
from domain.dead_letter import KeptLetter, LetterFilter
from domain.errors import HeraldError, LogUnavailable, StorageBroken
from domain.topic import Topic
from tests.contracts.dead_letter_archive import keep, letter, only
from tests.contracts.rig import PARTITIONS
from tests.fakes import FakeClock
from tests.sqlite_rig import SqliteRig

EVERY = LetterFilter()
MANY = 100_000
MEGABYTE = 1_000_000


@pytest.fixture
async def rig(tmp_path: Path) -> SqliteRig:
    return await SqliteRig(tmp_path).make_topics()


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def count(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - ours


@contextmanager
def most_memory() -> Iterator[list[int]]:
    """The most bytes that were held at once."""
    peak: list[int] = []
    tracemalloc.start()
    try:
        yield peak
        peak.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


async def test_of_a_hundred_thousand_letters_no_more_than_a_page_is_held(rig: SqliteRig) -> None:
    await keep(rig, letter(rig, 0, value=b"x" * 1000))
    change(
        group_path(rig.path, "email"),
        f"""INSERT INTO dead_letters (topic, partition, log_offset, time, key, value, headers, reason, error,
            attempts, failed_at)
            WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {MANY - 1})
            SELECT topic, partition, n, time, key, value, headers, reason, error, attempts, failed_at + n
            FROM dead_letters, numbers""",  # noqa: S608 - ours
    )
    async with rig.archive() as archive:
        with most_memory() as peak:
            first = await archive.find(EVERY, limit=100)
            last_place = replace(
                first.letters[0].place, failed_at=first.letters[0].place.failed_at + MANY - 3
            )
            last = await archive.find(EVERY, after=last_place, limit=100)

    assert [kept.letter.record.offset for kept in first.letters] == list(range(100))
    assert [kept.letter.record.offset for kept in last.letters] == [MANY - 3, MANY - 2, MANY - 1]
    assert last.next is None
    assert peak[0] < 2 * MEGABYTE


async def test_files_of_an_older_herald_are_read_as_they_are_and_written_when_they_must(
    rig: SqliteRig,
) -> None:
    group = group_path(rig.path, "email")
    await keep(rig, letter(rig))
    change(
        group,
        "DROP INDEX dead_letters_in_order",
        "DROP INDEX dead_letters_of_source",
        "DROP TABLE ledger",
        "DROP TABLE ledger_ends",
        "DROP TABLE deferred",
        "PRAGMA user_version = 1",
    )
    change(rig.path, "DROP TABLE replays", "DROP TABLE discards", "PRAGMA user_version = 1")
    async with rig.archive() as archive:
        found = await only(archive)
        await archive.put_back(found, by="ada@ops")
        after = await only(archive)

    assert found.replayed is None
    assert after.replayed is not None
    assert len(await rig.read_all(rig.shard(2))) == 1


async def test_a_letter_put_back_by_two_commands_at_once_is_appended_once(rig: SqliteRig) -> None:
    await keep(rig, letter(rig))
    async with rig.archive() as one, rig.archive() as other:
        kept = await only(one)
        await other.put_back(kept, by="ada@ops")
        await one.put_back(kept, by="bob@ops")
        after = await only(one)

    assert len(await rig.read_all(rig.shard(2))) == 1
    assert after.replayed is not None
    assert after.replayed.by == "ada@ops"


async def test_where_the_note_cannot_be_written_nothing_is_appended(rig: SqliteRig) -> None:
    await keep(rig, letter(rig))
    change(
        rig.path,
        "CREATE TRIGGER full BEFORE INSERT ON replays BEGIN SELECT RAISE(ABORT, 'no room'); END",
    )
    async with rig.archive() as archive:
        kept = await only(archive)
        with pytest.raises(LogUnavailable):
            await archive.put_back(kept, by="ada@ops")
        after = await only(archive)

    assert await rig.read_all(rig.shard(2)) == []
    assert after == kept


async def test_what_has_no_value_cannot_go_back(rig: SqliteRig) -> None:
    await keep(rig, letter(rig, value=None))
    async with rig.archive() as archive:
        with pytest.raises(HeraldError, match="has no value"):
            await archive.put_back(await only(archive), by="ada@ops")


async def test_what_no_consumer_would_take_does_not_go_back(rig: SqliteRig) -> None:
    await keep(rig, letter(rig))
    alone = [Topic(name=rig.topic, partitions=PARTITIONS, groups=("sms",)), Topic(name="other", partitions=1)]
    async with SqliteDeadLetterArchive(rig.path, alone, SystemClock(), request_id_of) as archive:
        kept = await only(archive)
        with pytest.raises(HeraldError, match=f"group email takes no messages of {rig.topic}"):
            await archive.put_back(kept, by="me")
    async with rig.archive() as archive:
        left = await only(archive)

    assert (left.replays, await rig.read_all(rig.shard(2))) == (0, [])


async def test_a_log_that_was_exchanged_meanwhile_is_told(rig: SqliteRig) -> None:
    await keep(rig, letter(rig), letter(rig, 8, 1))
    async with rig.archive() as archive:
        first, second = (await archive.find(EVERY)).letters
        await archive.put_back(first, by="ada@ops")
        rig.path.rename(rig.path.with_suffix(".away"))
        with pytest.raises(StorageBroken):
            await archive.put_back(second, by="ada@ops")


async def replayed_one(rig: SqliteRig) -> KeptLetter:
    await keep(rig, letter(rig))
    async with rig.archive() as archive:
        await archive.put_back(await only(archive), by="ada@ops")
        return await only(archive)


@pytest.mark.parametrize(("days", "left"), [(90.9, 1), (91.1, 0)])
async def test_notes_of_replays_go_a_day_after_the_letters(rig: SqliteRig, days: float, left: int) -> None:
    await replayed_one(rig)
    clock = FakeClock(SystemClock().now() + days * 86_400)
    topic = Topic(name=rig.topic, partitions=3)
    async with SqliteRetention(rig.path, [topic], clock, 90) as retention:
        await retention.prune_once()

    assert count(rig.path, "replays") == left


async def test_in_a_folder_without_a_log_nobody_is_told_that_there_are_no_dead_letters(
    tmp_path: Path,
) -> None:
    rig = SqliteRig(tmp_path)
    async with rig.archive() as archive:
        for asked in (archive.find(EVERY), archive.tally(), archive.get("transactions.email-0-1")):
            with pytest.raises(LogUnavailable, match=f"{tmp_path}.* is not there yet: start the API"):
                await asked

    assert os.listdir(tmp_path) == []  # noqa: PTH208 - a moment's look


async def test_a_log_that_cannot_be_read_is_not_taken_for_one_without_dead_letters(tmp_path: Path) -> None:
    rig = SqliteRig(tmp_path)
    rig.path.parent.mkdir(parents=True, exist_ok=True)
    rig.path.write_bytes(b"no database at all, and longer than its header" * 10)
    async with rig.archive() as archive:
        with pytest.raises(StorageBroken, match="is not a SQLite file"):
            await archive.find(EVERY)
