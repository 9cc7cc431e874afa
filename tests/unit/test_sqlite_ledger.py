"""The ledger's tables: what a commit holds, an older file, what is pruned and what stays."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Event

import pytest

from adapters.sqlite_dead_letters import SqliteDeadLetters
from adapters.sqlite_file import open_to_read
from adapters.sqlite_group import SqliteGroupFile
from adapters.sqlite_ledger import SqliteLedger
from adapters.sqlite_log import SqliteLog
from adapters.sqlite_retention import SqliteLedgerRetention
from adapters.sqlite_schema import GROUP
from domain.errors import LogUnavailable, StorageBroken
from domain.ledger import Deferral, Note, Places, Tombstone
from domain.log import Position, Shard
from domain.topic import Topic
from tests.contracts.dead_letters import letter
from tests.contracts.ledger import entry, notes_of, original, put, recalled
from tests.contracts.rig import Reader
from tests.fakes import FakeClock
from tests.sqlite_rig import SqliteRig

GROUP_NAME = "email"
SHARD = Shard("transactions", 0)
OTHER = Shard("transactions", 1)
DAY = 86_400.0
TOPIC = Topic(name="transactions", partitions=3, retention_hours=24)

# The group's file as Herald 0.1 made it, word for word.
VERSION_1 = (
    """CREATE TABLE positions (
            topic TEXT NOT NULL, partition INTEGER NOT NULL, next_offset INTEGER NOT NULL,
            metadata TEXT NOT NULL, PRIMARY KEY (topic, partition)
        )""",
    """CREATE TABLE dead_letters (
            id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, partition INTEGER NOT NULL,
            log_offset INTEGER NOT NULL, time REAL NOT NULL, key BLOB, value BLOB, headers BLOB,
            reason TEXT NOT NULL, error TEXT NOT NULL, attempts INTEGER NOT NULL, failed_at REAL NOT NULL
        )""",
    "PRAGMA application_id = 0x48524C47",
    "PRAGMA user_version = 1",
    "INSERT INTO positions VALUES ('transactions', 0, 42, '')",
    """INSERT INTO dead_letters (topic, partition, log_offset, time, key, value, headers, reason, error,
        attempts, failed_at)
        VALUES ('transactions', 2, 7, 1.0, x'00ff', x'feff', NULL, 'refused', '550', 3, 1800000000.0)""",
)


@pytest.fixture
async def rig(tmp_path: Path) -> SqliteRig:
    return await SqliteRig(tmp_path).make_topics()


def write_version_1(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for statement in VERSION_1:
            connection.execute(statement)


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


async def statements(group_file: SqliteGroupFile, seen: list[str]) -> None:
    """Notes every statement that is run from now on."""
    await group_file.read(lambda connection: connection.set_trace_callback(seen.append))


# One commit ------------------------------------------------------------------------------------


async def test_what_several_shards_write_at_one_moment_is_one_commit(rig: SqliteRig) -> None:
    group_file = rig.group_file(GROUP_NAME)
    seen: list[str] = []
    async with SqliteLedger(group_file) as ledger, SqliteDeadLetters(group_file) as dead_letters:
        await ledger.write(SHARD, [entry(0)])
        await statements(group_file, seen)
        writes = [ledger.write(shard, [entry(1)]) for shard in (SHARD, OTHER, Shard("alerts", 0))]
        positions, _ = await asyncio.gather(asyncio.gather(*writes), dead_letters.keep(letter(rig)))

    assert [list(some) for some in positions] == [[1], [0], [0]]
    assert seen.count("COMMIT") == 1


async def test_a_write_that_fails_takes_no_other_with_it(rig: SqliteRig) -> None:
    group_file = rig.group_file(GROUP_NAME)
    cannot_be_stored = entry(2**70)
    async with SqliteLedger(group_file) as ledger:
        await ledger.extent(SHARD)
        good, bad, other = await asyncio.gather(
            ledger.write(SHARD, [entry(1)]),
            ledger.write(SHARD, [entry(2), cannot_be_stored]),
            ledger.write(OTHER, [entry(3)]),
            return_exceptions=True,
        )
        found = [await notes_of(ledger, shard) for shard in (SHARD, OTHER)]

    assert isinstance(bad, OverflowError)
    assert [good, other] == [[0], [0]]
    assert found == [[entry(1)], [entry(3)]]


async def test_what_its_caller_gave_up_before_its_turn_is_not_written(rig: SqliteRig) -> None:
    group_file = rig.group_file(GROUP_NAME)
    busy = Event()

    def hold() -> None:
        busy.wait(10)

    async with SqliteLedger(group_file) as ledger:
        await ledger.extent(SHARD)
        group_file._thread.post(hold)
        given_up, waiting = (asyncio.ensure_future(ledger.write(SHARD, [entry(n)])) for n in (0, 1))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait({given_up})
        busy.set()
        await waiting
        found = await notes_of(ledger, SHARD)

    assert found == [entry(1)]


async def test_of_a_write_that_does_not_fit_on_the_disk_nothing_is_left(rig: SqliteRig) -> None:
    group_file = rig.group_file(GROUP_NAME)

    def pages(count: int) -> Callable[[sqlite3.Connection], object]:
        return lambda connection: connection.execute(f"PRAGMA max_page_count = {count}").fetchone()

    large = Deferral(record=original(SHARD, 9, b"x" * 1_000_000))
    async with SqliteLedger(group_file) as ledger:
        await ledger.write(SHARD, [entry(0), put(SHARD, 1)])
        before = await ledger.extent(SHARD)
        await group_file.read(pages(1))
        with pytest.raises(LogUnavailable, match=r"herald\.email\.db is full"):
            await ledger.write(SHARD, [entry(8), Tombstone(1), large])
        after = await ledger.extent(SHARD)
        found = await notes_of(ledger, SHARD)
        await group_file.read(pages(1_000_000))
        await ledger.write(SHARD, [entry(8), Tombstone(1), large])
        with_room = await notes_of(ledger, SHARD)

    assert after == before
    assert found == [entry(0), put(SHARD, 1)]
    assert with_room == [entry(0), entry(8), large]


async def test_slices_of_large_deferrals_are_small(rig: SqliteRig) -> None:
    large: list[Note] = [Deferral(record=original(SHARD, n, b"x" * 600_000)) for n in range(4)]
    async with rig.ledger(GROUP_NAME) as ledger:
        await ledger.write(SHARD, large)
        sizes = [len(some) async for some in ledger.recall(SHARD, Places(0, 0))]

    assert sizes == [2, 2]


# Files from before -----------------------------------------------------------------------------


async def test_a_file_of_version_1_keeps_its_positions_and_dead_letters(rig: SqliteRig) -> None:
    group_file = rig.group_file(GROUP_NAME)
    write_version_1(group_file.path)
    old_letters = await rig.kept(GROUP_NAME)

    async with SqliteLog(group_file, [rig.topic]) as log, SqliteLedger(group_file) as ledger:
        await Reader(log, rig.patience).until_held(frozenset(Shard(rig.topic, n) for n in range(3)))
        position = await log.committed(SHARD)
        never = await log.committed(OTHER)
        await ledger.write(SHARD, [entry(41), put(SHARD, 40)])
        found = await notes_of(ledger, SHARD)
    async with rig.dead_letters(GROUP_NAME) as dead_letters:
        await dead_letters.keep(letter(rig))

    assert (position, never) == (Position(42, ""), None)
    assert found == [entry(41), put(SHARD, 40)]
    assert [one.record.offset for one in old_letters] == [7]
    assert list(await rig.kept(GROUP_NAME)) == [*old_letters, letter(rig)]
    assert rows(group_file.path, "PRAGMA user_version") == [(GROUP.version,)]


async def test_a_migrated_file_has_the_tables_of_a_fresh_one(rig: SqliteRig) -> None:
    old, fresh = rig.group_file("email"), rig.group_file("sms")
    write_version_1(old.path)
    for group_file in (old, fresh):
        async with SqliteLedger(group_file) as ledger:
            await ledger.extent(SHARD)

    query = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name"
    assert rows(old.path, query) == rows(fresh.path, query)


async def test_a_migration_that_fails_leaves_the_file_as_it_was(rig: SqliteRig) -> None:
    group_file = rig.group_file(GROUP_NAME)
    write_version_1(group_file.path)
    with closing(sqlite3.connect(group_file.path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE deferred (something INTEGER)")
    before = rows(group_file.path, "SELECT name FROM sqlite_schema ORDER BY name")

    async with SqliteLedger(group_file) as ledger:
        with pytest.raises(StorageBroken):
            await ledger.extent(SHARD)

    assert rows(group_file.path, "SELECT name FROM sqlite_schema ORDER BY name") == before
    assert rows(group_file.path, "PRAGMA user_version") == [(1,)]


async def test_readers_of_what_an_older_file_has_not_are_told_to_wait_for_its_consumer(
    rig: SqliteRig,
) -> None:
    path = rig.group_file(GROUP_NAME).path
    write_version_1(path)

    with pytest.raises(LogUnavailable, match="start its group's consumer"):
        open_to_read(path, GROUP)
    connection = open_to_read(path, GROUP, least=1)
    assert connection is not None
    with closing(connection):
        assert connection.execute("SELECT next_offset FROM positions").fetchall() == [(42,)]


# Readers of the tables -------------------------------------------------------------------------


async def test_a_request_is_found_without_reading_the_whole_ledger(rig: SqliteRig) -> None:
    async with rig.ledger(GROUP_NAME) as ledger:
        await ledger.write(SHARD, [entry(1)])
    plans = rows(
        rig.group_file(GROUP_NAME).path,
        "EXPLAIN QUERY PLAN SELECT state FROM ledger WHERE request_id = 'r-1'",
    )

    assert "USING INDEX ledger_of_request" in str(plans[0][3])


# What goes and what stays ----------------------------------------------------------------------


class Kept:
    """A group with a ledger, a committed position and a clock."""

    def __init__(self, rig: SqliteRig, metadata: str | None) -> None:
        self.metadata = metadata
        self.clock = FakeClock()
        self.group_file = rig.group_file(GROUP_NAME)
        self.log = SqliteLog(self.group_file, [rig.topic, rig.other_topic], poll_seconds=0.005)
        self.ledger = SqliteLedger(self.group_file)
        self.retention = SqliteLedgerRetention(self.group_file, [TOPIC], self.clock)
        self.shards = rig.shards()

    async def after_pruning(self, *ages_days: float) -> tuple[int, list[int]]:
        """Entries 0, 1, … of these ages are written and pruned: how many went, and which are left."""
        now = self.clock.now()
        async with self.log, self.ledger, self.retention:
            await Reader(self.log, 5).until_held(self.shards)
            await self.ledger.write(SHARD, [entry(n, at=now - age * DAY) for n, age in enumerate(ages_days)])
            if self.metadata is not None:
                await self.log.commit({SHARD: Position(99, self.metadata)})
            deleted = await self.retention.prune_once()
            left = [written.position for written in await recalled(self.ledger, SHARD)]
        return deleted, left


async def test_records_a_day_older_than_their_topic_keeps_messages_go(rig: SqliteRig) -> None:
    assert await Kept(rig, "1 4 0").after_pruning(9, 2.1, 1.9, 0) == (2, [2, 3])


async def test_what_is_read_back_after_a_restart_stays_however_old(rig: SqliteRig) -> None:
    assert await Kept(rig, "1 1 0").after_pruning(9, 8, 7) == (1, [1, 2])


@pytest.mark.parametrize("metadata", [None, "", "2 9 9", "1 x 0", "1 9"])
async def test_without_a_position_that_is_understood_nothing_goes(
    rig: SqliteRig, metadata: str | None
) -> None:
    assert await Kept(rig, metadata).after_pruning(9, 8) == (0, [0, 1])


async def test_a_younger_record_in_front_holds_the_older_ones_behind(rig: SqliteRig) -> None:
    assert await Kept(rig, "1 3 0").after_pruning(0, 9, 9) == (0, [0, 1, 2])


async def test_positions_and_deferrals_are_left_alone(rig: SqliteRig) -> None:
    kept = Kept(rig, "1 3 0")
    await kept.after_pruning(9, 9, 9)
    async with rig.ledger(GROUP_NAME) as heir:
        await heir.write(SHARD, [put(SHARD, 1)])
        extent = await heir.extent(SHARD)
        [position, _] = await heir.write(SHARD, [entry(4), Tombstone(1)])

    assert (extent.ledger.first, extent.ledger.end, position) == (3, 3, 3)


async def test_many_records_go_in_slices(rig: SqliteRig) -> None:
    kept = Kept(rig, "1 1200 0")
    seen: list[str] = []
    async with kept.group_file:
        await kept.group_file.take_over()
        await statements(kept.group_file, seen)
        pruning = asyncio.ensure_future(kept.after_pruning(*[9.0] * 1_200))
        async with asyncio.timeout(rig.patience):
            while not pruning.done():
                await asyncio.sleep(0.001)
                await kept.clock.advance(0.01)

    assert pruning.result() == (1_200, [])
    assert len([one for one in seen if one.startswith("DELETE FROM ledger")]) == 3


async def test_who_stands_by_prunes_nothing(rig: SqliteRig) -> None:
    async with rig.group_file(GROUP_NAME) as active, rig.group_file(GROUP_NAME) as standby:
        await active.take_over()
        async with SqliteLedgerRetention(standby, [TOPIC], FakeClock()) as subject:
            assert await subject.prune_once() == 0
