"""Files that fail in the middle of work: full, damaged, exchanged. What is written is whole or not there."""

import asyncio
import random
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from adapters.sqlite_dead_letters import SqliteDeadLetters
from adapters.sqlite_file import open_file, open_to_read
from adapters.sqlite_group import SqliteGroupFile
from adapters.sqlite_ledger import SqliteLedger
from adapters.sqlite_locks import WriteLock
from adapters.sqlite_log import SqliteLog
from adapters.sqlite_publisher import SqlitePublisher
from adapters.sqlite_schema import GROUP, LOG, group_path
from domain.dead_letter import DeadLetter
from domain.errors import HeraldError, LogUnavailable, StorageBroken
from domain.ledger import Deferral, LedgerRecord, Places, State
from domain.log import NewRecord, Position, Receipt, Record, Shard, Unconfirmed
from domain.outcome import DeadLetterReason
from tests.contracts.rig import Reader, record
from tests.sqlite_rig import SqliteRig

SHARD = Shard("transactions", 0)
LARGE = "x" * 5_000


@pytest.fixture
async def rig(tmp_path: Path) -> SqliteRig:
    return await SqliteRig(tmp_path).make_topics()


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def entry(offset: int, reason: str = "") -> LedgerRecord:
    return LedgerRecord(
        offset=offset,
        request_id=f"r{offset}",
        digest=offset,
        state=State.SENT,
        attempts=1,
        uncertain=0,
        reason=reason,
        provider_id="",
        low=0,
        at=1.0,
    )


def put_off(offset: int) -> Deferral:
    kept = Record(SHARD, offset, None, LARGE.encode(), (), 1.0)
    return Deferral(record=kept, attempts=1, uncertain=0, due=9.0)


def letter(value: str = "") -> DeadLetter:
    return DeadLetter(
        record=Record(SHARD, 7, None, value.encode(), (), 1.0),
        group="email",
        reason=DeadLetterReason.REFUSED,
        error="no",
        attempts=1,
        failed_at=1.0,
    )


async def until_refused(write: Callable[[int], Awaitable[object]]) -> tuple[int, HeraldError]:
    """How many were written, and why the next one was not."""
    for number in range(1, 200):
        try:
            await write(number)
        except HeraldError as error:
            return number - 1, error
    raise AssertionError("all were written")


# Full -----------------------------------------------------------------------------------------------


def pages(connection: sqlite3.Connection | None, more: int) -> None:
    """Lets the file grow by so many pages and no more: SQLite then says that it is full."""
    assert connection is not None
    (count,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {count + more}")


async def limit_log(publisher: SqlitePublisher, more: int) -> None:
    await publisher._thread.call(lambda: pages(publisher._appender._connection, more))


async def limit_group(group_file: SqliteGroupFile, more: int) -> None:
    await group_file._thread.call(lambda: pages(group_file._connection, more))


async def test_a_full_log_takes_whole_batches_or_nothing_and_goes_on_when_there_is_room(
    rig: SqliteRig,
) -> None:
    batch: list[NewRecord] = [record(SHARD, LARGE) for _ in range(7)]
    async with rig.publisher() as publisher:
        await publisher.publish(batch)
        await limit_log(publisher, 50)
        answers = [await publisher.publish(batch) for _ in range(10)]
        ready = await publisher.unready()
        await limit_log(publisher, 5_000)
        after = await publisher.publish(batch)

    kinds = [{type(answer) for answer in one} for one in answers]
    refused = next(one for one in answers if isinstance(one[0], Unconfirmed))
    whole = kinds.count({Receipt})
    assert kinds == [{Receipt}] * whole + [{Unconfirmed}] * (10 - whole)
    assert 0 < whole < 10
    assert refused[0] == Unconfirmed(f"the disk that holds {rig.path} is full: make room on it")
    assert ready is None  # one page less is there
    offsets = range(7 + 7 * whole, 14 + 7 * whole)
    assert after == [Receipt(offset) for offset in offsets]
    assert rows(rig.path, "SELECT count(*) FROM records") == [(offsets.stop,)]


async def test_a_full_groups_file_takes_whole_notes_or_none_and_goes_on_when_there_is_room(
    rig: SqliteRig,
) -> None:
    group_file = rig.group_file("email")
    path = group_path(rig.path, "email")
    async with SqliteLedger(group_file) as ledger, SqliteDeadLetters(group_file) as letters:
        await ledger.write(SHARD, [entry(0)])
        await limit_group(group_file, 40)
        written, refused = await until_refused(
            lambda number: ledger.write(
                SHARD, [entry(number, LARGE), put_off(number), put_off(1000 + number)]
            )
        )
        kept, not_kept = await until_refused(lambda _: letters.keep(letter(LARGE)))
        ends = rows(path, "SELECT ledger, deferred FROM ledger_ends")
        there = rows(path, "SELECT (SELECT count(*) FROM ledger), (SELECT count(*) FROM deferred)")
        await limit_group(group_file, 5_000)
        positions = await ledger.write(SHARD, [entry(500)])
        await letters.keep(letter())

    full = f"the disk that holds {path} is full: make room on it"
    assert [(type(error), str(error)) for error in (refused, not_kept)] == [(LogUnavailable, full)] * 2
    assert written > 0
    assert ends == there == [(1 + written, 2 * written)]
    assert rows(path, "SELECT count(*) FROM dead_letters") == [(kept + 1,)]
    assert positions == [1 + written]


async def test_in_a_full_file_what_waits_together_is_each_written_whole_or_not(rig: SqliteRig) -> None:
    group_file = rig.group_file("email")
    shards = [Shard("transactions", partition) for partition in range(3)]
    async with SqliteLedger(group_file) as ledger:
        await ledger.write(SHARD, [entry(0)])
        await limit_group(group_file, 12)
        writes = [ledger.write(shard, [entry(1, LARGE), put_off(1)]) for shard in shards for _ in range(4)]
        answers = await asyncio.gather(*writes, return_exceptions=True)
        await limit_group(group_file, 5_000)
        recalled = {shard: [one async for one in ledger.recall(shard, Places(0, 0))] for shard in shards}

    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    there = sum(len(some) for slices in recalled.values() for some in slices)
    assert {type(error) for error in refused} == {LogUnavailable}
    assert 0 < len(refused) < 12
    assert there <= 1 + 2 * (12 - len(refused))
    ends = rows(group_path(rig.path, "email"), "SELECT sum(ledger), sum(deferred) FROM ledger_ends")
    assert ends == [(13 - len(refused), 12 - len(refused))]


# Damaged ---------------------------------------------------------------------------------------------


def overwrite(path: Path) -> None:
    """Every page but the first and every other one is noise."""
    content = bytearray(path.read_bytes())
    for at in range(4096, len(content), 8192):
        content[at : at + 4096] = random.Random(at).randbytes(len(content[at : at + 4096]))
    path.write_bytes(content)


async def filled(rig: SqliteRig) -> SqliteRig:
    """A log and a group's file of many pages, closed."""
    async with rig.publisher() as publisher:
        await publisher.publish([record(SHARD, LARGE) for _ in range(60)])
    group_file = rig.group_file("email")
    async with SqliteLedger(group_file) as ledger, SqliteDeadLetters(group_file) as letters:
        await ledger.write(SHARD, [entry(number, LARGE) for number in range(60)])
        await ledger.write(SHARD, [put_off(number) for number in range(60)])
        for _ in range(3):
            await letters.keep(letter())
    return rig


async def publish(rig: SqliteRig) -> None:
    async with rig.publisher() as publisher:
        answers = await publisher.publish(
            [record(Shard("transactions", number), LARGE) for number in range(3)]
        )
    assert {type(answer) for answer in answers} == {Unconfirmed}
    raise StorageBroken(str(answers[0]))


async def read(rig: SqliteRig) -> None:
    async with rig.log("email") as log:
        reader = Reader(log, rig.patience)
        await reader.until_read(60)


async def recall(rig: SqliteRig) -> None:
    async with rig.ledger("email") as ledger:
        async for _ in ledger.recall(SHARD, Places(0, 0)):
            pass


async def note(rig: SqliteRig) -> None:
    async with rig.ledger("email") as ledger:
        for number in range(100, 200):
            await ledger.write(SHARD, [entry(number, LARGE), put_off(number)])


async def keep(rig: SqliteRig) -> None:
    async with rig.dead_letters("email") as letters:
        for _ in range(100):
            await letters.keep(letter(LARGE))


async def commit(rig: SqliteRig) -> None:
    async with rig.log("email") as log:
        reader = Reader(log, rig.patience)
        await reader.until_held(rig.shards())
        for number in range(100):
            await log.commit({SHARD: Position(number, "1 0 0")})


@pytest.mark.parametrize("act", [publish, read, recall, note])
async def test_a_damaged_file_is_told_in_one_line_and_left_as_it_is(
    rig: SqliteRig, act: Callable[[SqliteRig], Awaitable[None]]
) -> None:
    await filled(rig)
    path = rig.path if act in {publish, read} else group_path(rig.path, "email")
    overwrite(path)

    with pytest.raises(StorageBroken) as caught:
        await act(rig)

    assert f"{path} is damaged: restore it from a backup, or move it away" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("headers", [b"\xff", b"\x00\x02\x00\x00\x00\x00\xff\xfe", "text"])
async def test_a_row_that_herald_never_wrote_is_damage_and_no_bug(
    rig: SqliteRig, headers: bytes | str
) -> None:
    await filled(rig)
    for path, table in ((rig.path, "records"), (group_path(rig.path, "email"), "deferred")):
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(f"UPDATE {table} SET headers = ?", (headers,))  # noqa: S608 - names of ours

    for act in (read, recall):
        with pytest.raises(StorageBroken, match="is damaged"):
            await act(rig)


async def test_text_that_is_none_is_damage_and_is_not_shown(rig: SqliteRig) -> None:
    await filled(rig)
    with closing(sqlite3.connect(group_path(rig.path, "email"), isolation_level=None)) as connection:
        connection.execute("UPDATE ledger SET reason = CAST(x'6a6f406578616d706c652e6f7267ff' AS TEXT)")

    with pytest.raises(StorageBroken, match="is damaged: restore it from a backup") as caught:
        await recall(rig)

    assert "example.org" not in str(caught.value)


async def test_a_state_that_herald_never_wrote_is_damage_and_no_bug(rig: SqliteRig) -> None:
    await filled(rig)
    with closing(sqlite3.connect(group_path(rig.path, "email"), isolation_level=None)) as connection:
        connection.execute("UPDATE ledger SET state = 'lost'")

    with pytest.raises(StorageBroken, match="is damaged"):
        await recall(rig)


# Exchanged -------------------------------------------------------------------------------------------


def wal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def lay_foreign_wal(path: Path, other: Path) -> None:
    """What a careless restore does: the file of one, the `-wal` of another."""
    with closing(sqlite3.connect(other, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("CREATE TABLE more (a)")
        shutil.copy(wal_of(other), wal_of(path))


async def test_a_wal_of_another_file_is_refused_before_it_does_harm(rig: SqliteRig) -> None:
    # SQLite puts its pages into the file at the last close: the log would be gone.
    await filled(rig)
    group = group_path(rig.path, "email")
    lay_foreign_wal(rig.path, group)
    before = rig.path.read_bytes()

    with pytest.raises(StorageBroken, match="is not a log of Herald"):
        open_file(rig.path, LOG, WriteLock(rig.path))
    with pytest.raises(StorageBroken, match="is not a log of Herald"):
        open_to_read(rig.path, LOG)

    assert rig.path.read_bytes() == before
    wal_of(rig.path).unlink()
    await read(rig)


async def test_a_groups_file_with_the_wal_of_a_log_is_refused_before_it_does_harm(rig: SqliteRig) -> None:
    await filled(rig)
    group = group_path(rig.path, "email")
    lay_foreign_wal(group, rig.path)
    before = group.read_bytes()

    for act in (recall, note, keep, commit):
        with pytest.raises(StorageBroken, match="is not a group's file of Herald"):
            await act(rig)
    with pytest.raises(StorageBroken):
        open_to_read(group, GROUP)

    assert group.read_bytes() == before


@pytest.mark.parametrize("suffix", ["db", "lock"])
@pytest.mark.parametrize("act", ["note", "keep", "commit"])
async def test_a_groups_files_that_are_moved_while_in_use_end_its_work(
    rig: SqliteRig, suffix: str, act: str
) -> None:
    group_file = rig.group_file("email")
    async with (
        SqliteLedger(group_file) as ledger,
        SqliteDeadLetters(group_file) as letters,
        SqliteLog(group_file, [rig.topic], poll_seconds=0.005) as log,
    ):
        mine = frozenset(shard for shard in rig.shards() if shard.topic == rig.topic)
        await Reader(log, rig.patience).until_held(mine)
        moved = group_path(rig.path, "email", suffix)
        moved.rename(moved.with_suffix(".away"))
        acts: dict[str, Callable[[], Awaitable[object]]] = {
            "note": lambda: ledger.write(SHARD, [entry(0)]),
            "keep": lambda: letters.keep(letter()),
            "commit": lambda: log.commit({SHARD: Position(1, "")}),
        }

        with pytest.raises(HeraldError, match="was moved or deleted while in use: restart Herald"):
            await acts[act]()

    assert not moved.exists()


async def test_a_lock_file_that_was_replaced_makes_nobody_active_beside_another(rig: SqliteRig) -> None:
    first, standby, second = (rig.group_file("email") for _ in range(3))
    async with standby:
        async with first:
            assert await first.take_over()
            assert not await standby.take_over()
            group_path(rig.path, "email", "lock").unlink()
        async with second:
            assert await second.take_over()
            answers = [await standby.take_over() for _ in range(3)]

    assert answers == [False] * 3
