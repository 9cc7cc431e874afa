import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from adapters.sqlite_group import SqliteGroupFile
from adapters.sqlite_log import SqliteLog
from domain.errors import LogUnavailable, StorageBroken
from domain.log import Assigned, Position, Shard
from tests.contracts.dead_letters import letter
from tests.contracts.rig import Reader, plan, record, until
from tests.sqlite_rig import SqliteRig

SHARD = Shard("transactions", 0)


@pytest.fixture
async def rig(tmp_path: Path) -> SqliteRig:
    return await SqliteRig(tmp_path).make_topics()


async def test_one_process_works_and_the_other_stands_by(rig: SqliteRig) -> None:
    async with rig.log("email") as active, rig.log("email") as standby:
        first, second = Reader(active, rig.patience), Reader(standby, rig.patience)
        await first.until_held(rig.shards())
        await second.nothing_more()
        reasons = [await active.unready(), await standby.unready()]

    assert second.events == []
    assert reasons == [None, None]


async def test_who_stands_by_takes_over_at_the_commit(rig: SqliteRig) -> None:
    async with rig.publisher() as publisher:
        await publisher.publish([record(SHARD, value) for value in "abc"])
    async with rig.log("email") as standby:
        async with rig.log("email") as active:
            first, second = Reader(active, rig.patience), Reader(standby, rig.patience)
            await first.until_held(rig.shards())
            await second.nothing_more()
            await active.commit({SHARD: Position(1, "note")})
            waiting = asyncio.ensure_future(second.until_read(2))
        await waiting

    assert second.values(SHARD) == ["b", "c"]


async def test_who_has_not_joined_yet_says_so(rig: SqliteRig) -> None:
    async with rig.log("email") as log:
        before = await log.unready()
        await log.next_event(frozenset(), 1, 0)
        after = await log.unready()

    assert before == "has not joined its group yet"
    assert after is None


async def test_what_is_not_held_is_neither_committed_nor_begun(rig: SqliteRig) -> None:
    async with rig.log("email") as active, rig.log("email") as standby:
        await Reader(active, rig.patience).until_held(rig.shards())
        await standby.next_event(frozenset(), 1, 0)
        standby.begin(SHARD, 0)
        await standby.commit({SHARD: Position(5)})
        position = await active.committed(SHARD)
        event = await standby.next_event({SHARD}, 1, 0)

    assert position is None
    assert event is None


async def test_a_topic_made_later_is_assigned_when_it_comes(rig: SqliteRig) -> None:
    group_file = rig.group_file("email")
    async with SqliteLog(group_file, [rig.topic, "fresh"], poll_seconds=0.005) as log:
        reader = Reader(log, rig.patience)
        await reader.until(lambda: len(reader.held) == 3)
        async with rig.catalog() as catalog:
            await catalog.create([plan("fresh", 1)])
        await reader.until(lambda: len(reader.held) == 4)

    assert reader.events[-1] == Assigned(frozenset({Shard("fresh", 0)}))


async def test_a_busy_shard_does_not_starve_another(rig: SqliteRig) -> None:
    quiet = Shard(rig.topic, 2)
    async with rig.publisher() as publisher:
        await publisher.publish([record(SHARD, "x")] * 20 + [record(quiet, "y")])
    async with rig.log("email") as log:
        reader = Reader(log, rig.patience)
        await reader.until_held(rig.shards())
        for _ in range(6):
            await reader.step(limit=2)

    assert {one.shard for one in reader.records} == {SHARD, quiet}


async def test_a_begin_while_the_log_is_read_wins(rig: SqliteRig) -> None:
    async with rig.publisher() as publisher:
        await publisher.publish([record(SHARD, value) for value in "abc"])
    async with rig.log("email") as log:
        reader = Reader(log, rig.patience)
        await reader.until_held(rig.shards())
        reading = asyncio.ensure_future(reader.step(seconds=5))
        await asyncio.sleep(0)
        log.begin(SHARD, 2)
        await reading
        await reader.nothing_more()

    assert reader.values(SHARD) == ["c"]


async def test_without_the_log_nothing_comes_and_the_reason_is_told(rig: SqliteRig) -> None:
    async with rig.log("email") as log:
        reader = Reader(log, rig.patience)
        await reader.until_held(rig.shards())
        await log._thread.call(log._reader.close)
        event = await log.next_event(rig.shards(), 1, 0)
        await log.next_event(rig.shards(), 1, 0.01)
        reason = await log.unready()
        with pytest.raises(LogUnavailable):
            await log.bounds({SHARD})

    assert event is None
    assert "is not open" in str(reason)


async def test_bounds_of_a_partition_that_is_not_there_are_an_error(rig: SqliteRig) -> None:
    async with rig.log("email") as log:
        with pytest.raises(LogUnavailable, match="no partition 9 of transactions"):
            await log.bounds({Shard(rig.topic, 9)})


async def test_the_position_is_waited_for(rig: SqliteRig) -> None:
    async with rig.log("email") as log:
        asking = asyncio.ensure_future(log.committed(SHARD))
        done, _ = await asyncio.wait({asking}, timeout=0.05)
        asking.cancel()

    assert not done


async def test_a_log_that_breaks_while_it_is_read_stops_the_reader(rig: SqliteRig) -> None:
    async with rig.log("email") as log:
        reader = Reader(log, rig.patience)
        await reader.until_held(rig.shards())
        with closing(sqlite3.connect(rig.path, isolation_level=None)) as vandal:
            vandal.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            await _publish_large(rig)
            vandal.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        _scribble_over_all_but_the_first_pages(rig.path)
        with pytest.raises(StorageBroken, match="is damaged"):
            await reader.until_read(1)


async def _publish_large(rig: SqliteRig) -> None:
    async with rig.publisher() as publisher:
        await publisher.publish([record(SHARD, "x" * 3_000)] * 40)


def _scribble_over_all_but_the_first_pages(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[8 * 4096 :] = b"\xff" * (len(content) - 8 * 4096)
    with path.open("r+b") as file:
        file.write(content)


async def test_a_log_deleted_while_it_is_read_stops_the_reader(rig: SqliteRig) -> None:
    async with rig.log("email") as log:
        reader = Reader(log, rig.patience)
        await reader.until_held(rig.shards())
        rig.path.unlink()
        with pytest.raises(StorageBroken, match="was moved or deleted"):
            await reader.until_read(1)


@pytest.mark.parametrize("name", ["herald.email.db", "herald.email.lock"])
async def test_a_groups_file_deleted_while_in_use_stops_the_commits(rig: SqliteRig, name: str) -> None:
    async with rig.log("email") as log:
        await Reader(log, rig.patience).until_held(rig.shards())
        rig.path.with_name(name).unlink()
        with pytest.raises(StorageBroken, match=name):
            await log.commit({SHARD: Position(1)})


async def test_a_broken_log_stops_the_start(tmp_path: Path) -> None:
    rig = SqliteRig(tmp_path)
    rig.path.parent.mkdir()
    rig.path.write_bytes(b"certainly no database" * 500)

    with pytest.raises(StorageBroken):
        await rig.log("email").__aenter__()
    with pytest.raises(StorageBroken):
        await rig.catalog().__aenter__()


async def test_looking_for_topics_makes_no_file(tmp_path: Path) -> None:
    rig = SqliteRig(tmp_path)
    async with rig.catalog() as catalog:
        found = await catalog.find({rig.topic})

    assert found == {}
    assert not rig.path.exists()
    assert not rig.path.parent.exists()


async def test_the_first_topic_makes_the_file(tmp_path: Path) -> None:
    rig = SqliteRig(tmp_path)
    async with rig.catalog() as catalog:
        await catalog.create([plan(rig.topic)])
        found = await catalog.find({rig.topic})

    assert list(found) == [rig.topic]


async def test_a_file_that_another_process_makes_is_found(tmp_path: Path) -> None:
    rig = SqliteRig(tmp_path)
    async with rig.catalog() as catalog:
        before = await catalog.find({rig.topic})
        async with rig.catalog() as other:
            await other.create([plan(rig.topic)])
        after = await catalog.find({rig.topic})

    assert (list(before), list(after)) == ([], [rig.topic])


async def test_a_broken_groups_file_stops_who_would_be_active(rig: SqliteRig) -> None:
    rig.group_file("email").path.write_bytes(b"certainly no database" * 500)
    async with rig.log("email") as log:
        with pytest.raises(StorageBroken, match=r"herald\.email\.db"):
            await log.next_event(frozenset(), 1, 0)


async def test_a_full_disk_leaves_a_commit_unconfirmed(rig: SqliteRig) -> None:
    group_file = rig.group_file("email")
    async with SqliteLog(group_file, [rig.topic]) as log:
        reader = Reader(log, rig.patience)
        await reader.until(lambda: len(reader.held) == 3)
        await group_file.read(lambda connection: connection.execute("PRAGMA max_page_count = 1").fetchone())
        with pytest.raises(LogUnavailable, match="is full"):
            await log.commit({SHARD: Position(1, "x" * 100_000)})
        await group_file.read(
            lambda connection: connection.execute("PRAGMA max_page_count = 9999").fetchone()
        )
        await log.commit({SHARD: Position(1)})
        position = await log.committed(SHARD)

    assert position == Position(1)


async def test_the_groups_stores_share_one_file_until_the_last_leaves(rig: SqliteRig) -> None:
    group_file = rig.group_file("email")
    other = SqliteGroupFile(rig.path, "email")
    async with other, group_file:
        async with group_file:
            mine = await group_file.take_over()
        still_mine = await group_file.take_over()
        others = await other.take_over()

    assert (mine, still_mine, others) == (True, True, False)


async def test_who_stands_by_cannot_write_the_groups_file(rig: SqliteRig) -> None:
    async with rig.group_file("email") as active, rig.group_file("email") as standby:
        await active.take_over()
        with pytest.raises(LogUnavailable, match="another process"):
            await standby.write(lambda connection: connection.execute("DELETE FROM positions"))


async def test_dead_letters_and_positions_are_kept_together(rig: SqliteRig) -> None:
    async with rig.log("email") as log:
        reader = Reader(log, rig.patience)
        await reader.until_held(rig.shards())
        await log.commit({SHARD: Position(3)})
    async with rig.dead_letters("email") as dead_letters:
        await dead_letters.keep(letter(rig))
    async with rig.log("email") as log:
        reader = Reader(log, rig.patience)
        await reader.until_held(rig.shards())
        position = await log.committed(SHARD)

    assert position == Position(3)
    assert len(await rig.kept("email")) == 1


async def test_a_quiet_log_is_asked_each_poll_and_not_oftener(rig: SqliteRig) -> None:
    async with SqliteLog(rig.group_file("email"), [rig.topic], poll_seconds=60) as log:
        reader = Reader(log, rig.patience)
        await reader.until(lambda: len(reader.held) == 3)
        await reader.step()
        looked_at = log._look_at
        await reader.nothing_more()
        await reader.nothing_more()

    assert log._look_at == looked_at


async def test_leaving_twice_over_is_not_needed_after_a_failed_start(tmp_path: Path) -> None:
    rig = SqliteRig(tmp_path)
    rig.path.parent.mkdir()
    rig.path.write_bytes(b"certainly no database" * 500)
    log = rig.log("email")
    with pytest.raises(StorageBroken):
        await log.__aenter__()
    thread = log._thread._thread
    assert thread is not None
    await until(lambda: not thread.is_alive())

    assert log._file._users == 0
