"""The doctor's look at the embedded log's files: nothing is made, and damage is found."""

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from adapters.sqlite_probe import SqliteProbe
from adapters.sqlite_schema import group_path
from domain.diagnosis import FindingState, Seen
from domain.log import NewRecord, Shard
from tests.contracts.dead_letter_archive import letter
from tests.sqlite_rig import SqliteRig


@pytest.fixture
async def rig(tmp_path: Path) -> SqliteRig:
    rig = await SqliteRig(tmp_path).make_topics()
    async with rig.dead_letters("email") as letters:
        await letters.keep(letter(rig, 0, failed_at=1.0))
    return rig


async def look(path: Path, *, seconds: float = 5.0) -> Seen:
    return await SqliteProbe(path, ["email", "sms"], seconds=seconds).look()


def closed(path: Path) -> None:
    """Puts what stands in the WAL into the file."""
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def test_whole_files_are_well_each(rig: SqliteRig) -> None:
    seen = await look(rig.path)

    assert [(one.name, one.state) for one in seen.findings] == [
        ("log", FindingState.OK),
        ("log email", FindingState.OK),
    ]
    assert seen.findings[0].says.startswith(f"SQLite {sqlite3.sqlite_version}, {rig.path}, ")
    assert seen.findings[0].says.endswith(" MiB, WAL, whole, writable")


async def test_without_a_log_it_says_so_and_makes_none(tmp_path: Path) -> None:
    seen = await look(tmp_path / "data" / "herald.db")

    [finding] = seen.findings
    assert finding.state is FindingState.WRONG
    assert finding.says == f"no log yet at {tmp_path / 'data' / 'herald.db'}"
    assert finding.remedy == "'herald run' or 'herald api' makes it"
    assert not os.listdir(tmp_path)  # noqa: PTH208 - nothing else runs


async def test_what_is_no_log_of_ours_is_told_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "herald.db"
    path.write_text("a letter to my aunt " * 1000)

    [finding] = (await look(path)).findings

    assert finding.state is FindingState.WRONG
    assert "is not a SQLite file" in finding.says
    assert path.read_text().startswith("a letter")


async def test_an_empty_file_is_no_log_yet(tmp_path: Path) -> None:
    (tmp_path / "herald.db").touch()

    [finding] = (await look(tmp_path / "herald.db")).findings

    assert (finding.state, finding.says) == (FindingState.WRONG, f"{tmp_path / 'herald.db'} is empty")


async def test_damage_of_one_file_is_found_and_hides_no_other(rig: SqliteRig) -> None:
    path = group_path(rig.path, "email")
    closed(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xff" * 4096 + whole[12288:])

    log, email = (await look(rig.path)).findings

    assert (log.state, email.state) == (FindingState.OK, FindingState.WRONG)
    assert f"{path} is damaged" in email.says


async def test_a_file_too_large_for_the_time_is_looked_at_in_part(rig: SqliteRig) -> None:
    with closing(sqlite3.connect(rig.path)) as file, file:
        values = ((number, 0.0, b"x" * 200) for number in range(20_000))
        file.executemany("INSERT INTO records (id, time, value) VALUES (?, ?, ?)", values)

    log, _ = (await look(rig.path, seconds=0.0)).findings

    assert log.state is FindingState.OK
    assert "no damage in the part looked at in 0 s" in log.says


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
async def test_a_file_that_cannot_be_written_is_wrong(rig: SqliteRig) -> None:
    rig.path.chmod(0o400)

    log, _ = (await look(rig.path)).findings

    assert log.state is FindingState.WRONG


async def test_a_file_of_an_older_herald_is_well(rig: SqliteRig) -> None:
    with closing(sqlite3.connect(rig.path)) as file, file:
        file.execute("PRAGMA user_version = 1")

    log, _ = (await look(rig.path)).findings

    assert log.state is FindingState.OK


async def test_the_newest_record_tells_the_time(rig: SqliteRig) -> None:
    async with rig.publisher() as publisher:
        await publisher.publish([NewRecord(Shard("transactions", 2), None, b"{}")])
    with closing(sqlite3.connect(rig.path)) as file, file:
        file.execute("UPDATE records SET time = ?", (time.time() + 500,))

    [reading] = (await look(rig.path)).clocks

    assert reading.may_lag
    assert reading.ahead == pytest.approx(500, abs=5)


async def test_a_log_without_records_tells_no_time(rig: SqliteRig) -> None:
    assert (await look(rig.path)).clocks == ()
