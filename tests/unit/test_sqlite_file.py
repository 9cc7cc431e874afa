"""Files that cannot be used: one clear line each."""

import itertools
import sqlite3
from contextlib import closing, nullcontext, suppress
from pathlib import Path

import pytest

from adapters.sqlite_file import (
    _bring_up,
    _to_wal,
    _version_of,
    fault,
    open_file,
    open_to_read,
    prove,
    transaction,
)
from adapters.sqlite_locks import WriteLock
from adapters.sqlite_schema import GROUP, LOG, group_path, offset_of, pack_headers, row_id, unpack_headers
from domain.errors import HeraldError, LogUnavailable, StorageBroken, UnknownVersion


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "herald.db"


def opened(path: Path) -> sqlite3.Connection:
    return open_file(path, LOG, WriteLock(path))


def refusal(path: Path) -> HeraldError:
    with pytest.raises(HeraldError) as caught:
        opened(path).close()
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return caught.value


def pragma(connection: sqlite3.Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def test_missing_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "herald.db"
    opened(path).close()

    assert path.exists()


def test_a_folder_that_cannot_be_made_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    message = str(refusal(tmp_path / "file" / "herald.db"))

    assert message.endswith("mend that, or set sqlite.path to another file")


def test_only_the_owner_may_read_what_holds_addresses(path: Path) -> None:
    with closing(opened(path)) as connection, transaction(connection):
        connection.execute("INSERT INTO topics VALUES ('t', 1, 1)")
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}

    assert modes == dict.fromkeys(modes, 0o600)
    assert {"herald.db", "herald.db-wal"} <= modes.keys()


def test_commits_are_synchronous_and_readers_do_not_wait(path: Path) -> None:
    with closing(opened(path)) as connection:
        assert pragma(connection, "journal_mode") == "wal"
        assert pragma(connection, "synchronous") == 2
        assert pragma(connection, "fullfsync") == 1


def test_an_existing_file_is_opened_again(path: Path) -> None:
    with closing(opened(path)) as connection, transaction(connection):
        connection.execute("INSERT INTO topics VALUES ('t', 1, 1)")
    with closing(opened(path)) as connection:
        topics = connection.execute("SELECT name FROM topics").fetchall()

    assert topics == [("t",)]


def test_an_empty_file_becomes_a_log(path: Path) -> None:
    path.touch()
    with closing(opened(path)) as connection:
        assert pragma(connection, "user_version") == LOG.version


def test_a_file_that_is_not_sqlites_is_refused(path: Path) -> None:
    path.write_bytes(b"certainly no database" * 500)
    error = refusal(path)

    assert isinstance(error, StorageBroken)
    assert "is not a SQLite file" in str(error)
    assert path.read_bytes().startswith(b"certainly")


def test_a_damaged_file_is_refused(path: Path) -> None:
    opened(path).close()
    content = bytearray(path.read_bytes())
    content[100:4096] = b"\xff" * 3996
    path.write_bytes(content)
    error = refusal(path)

    assert isinstance(error, StorageBroken)
    assert "is damaged" in str(error)


def test_another_programs_database_is_refused_and_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE songs (title TEXT)")
    before = path.read_bytes()
    error = refusal(path)

    assert isinstance(error, StorageBroken)
    assert "is not a log of Herald" in str(error)
    assert path.read_bytes() == before


def test_a_groups_file_is_not_taken_for_the_log(path: Path) -> None:
    open_file(path, GROUP, nullcontext()).close()

    assert "is not a log of Herald" in str(refusal(path))


def test_a_newer_heralds_file_is_refused(path: Path) -> None:
    opened(path).close()
    with closing(sqlite3.connect(path)) as newer:
        newer.execute("PRAGMA user_version = 99")
    error = refusal(path)

    assert isinstance(error, UnknownVersion)
    assert "version 99" in str(error)


def test_a_file_whose_version_an_older_herald_wrote_back_is_brought_up_to_date_again(path: Path) -> None:
    """One that still ran during an upgrade, and proved after a failure that it can write."""
    with closing(opened(path)) as newer:
        newer.execute("INSERT INTO discards VALUES (1, 'transactions', 'email', 5.0, '{}', 5.0, 'ada')")
    with closing(sqlite3.connect(path)) as older:
        older.execute("PRAGMA user_version = 2")

    with closing(opened(path)) as again:
        assert pragma(again, "user_version") == LOG.version
        assert again.execute("SELECT count(*) FROM discards").fetchone() == (1,)


def test_who_proves_that_it_can_write_leaves_a_newer_version_as_it_is(path: Path) -> None:
    with closing(opened(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
        prove(connection)

        assert pragma(connection, "user_version") == 99


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    error = refusal(tmp_path / "file" / "herald.db")

    assert isinstance(error, StorageBroken)


def test_a_folder_in_place_of_the_file_is_told(path: Path) -> None:
    path.mkdir()
    error = refusal(path)

    assert isinstance(error, StorageBroken)
    assert "cannot be opened" in str(error)


def test_a_file_system_without_wal_is_refused() -> None:
    # SQLite's memory database is the nearest thing: it has no WAL either.
    with pytest.raises(StorageBroken, match="local disk"), closing(sqlite3.connect(":memory:")) as connection:
        _to_wal(connection, Path("herald.db"))


@pytest.mark.parametrize("moment", range(1, 6))
def test_a_file_that_another_process_is_just_making_is_not_taken_for_a_strangers(
    path: Path, moment: int
) -> None:
    """Several processes start at once in an empty folder; one of them makes the tables while others look."""
    path.touch()
    statements = itertools.count(1)

    def make(_: str) -> None:
        if next(statements) == moment:
            other = sqlite3.connect(path, timeout=0, isolation_level=None)
            with closing(other), suppress(sqlite3.OperationalError), transaction(other):
                _bring_up(other, LOG, 0)

    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.set_trace_callback(make)
        found = _version_of(connection, path, LOG)

    assert next(statements) > moment
    assert found in {0, LOG.version}


def test_reading_a_file_that_is_not_there_makes_none(path: Path) -> None:
    assert open_to_read(path, GROUP) is None
    assert not path.exists()


def test_reading_an_empty_file_finds_nothing(path: Path) -> None:
    path.touch()

    assert open_to_read(path, GROUP) is None


def test_reading_another_kind_of_file_is_refused(path: Path) -> None:
    opened(path).close()

    with pytest.raises(StorageBroken):
        open_to_read(path, GROUP)


def test_who_opened_to_read_cannot_write(path: Path) -> None:
    opened(path).close()
    connection = open_to_read(path, LOG)
    assert connection is not None

    with closing(connection), pytest.raises(sqlite3.OperationalError):
        connection.execute("DELETE FROM records")


def insert_and_fail(connection: sqlite3.Connection) -> None:
    with transaction(connection):
        connection.execute("INSERT INTO topics VALUES ('t', 1, 1)")
        raise ZeroDivisionError


def test_a_transaction_that_fails_leaves_nothing(path: Path) -> None:
    with closing(opened(path)) as connection:
        with pytest.raises(ZeroDivisionError):
            insert_and_fail(connection)

        assert not connection.in_transaction
        assert connection.execute("SELECT count(*) FROM topics").fetchone() == (0,)


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("SQLITE_FULL", LogUnavailable, "is full"),
        ("SQLITE_IOERR_FSYNC", LogUnavailable, "failed"),
        ("SQLITE_BUSY_RECOVERY", LogUnavailable, "is locked by another program"),
        ("SQLITE_READONLY_DBMOVED", StorageBroken, "cannot be written"),
        ("SQLITE_CANTOPEN_ISDIR", StorageBroken, "cannot be opened"),
        ("SQLITE_CORRUPT_INDEX", StorageBroken, "is damaged"),
        ("SQLITE_MISUSE", LogUnavailable, "does not answer"),
    ],
)
def test_each_of_sqlites_errors_says_what_to_do(
    path: Path, name: str, kind: type[HeraldError], text: str
) -> None:
    error = sqlite3.OperationalError("whatever")
    error.sqlite_errorname = name
    told = fault(error, path)

    assert type(told) is kind
    assert text in str(told)
    assert str(path) in str(told)


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("content-type", b"application/json"),),
        (("", b""), ("twice", b"\x00\xff"), ("twice", b"x" * 70_000), ("\N{SNOWMAN}", b"1")),
    ],
)
def test_headers_come_back_as_they_were(headers: tuple[tuple[str, bytes], ...]) -> None:
    assert unpack_headers(pack_headers(headers)) == headers


def test_rows_of_a_shard_lie_in_the_order_of_their_offsets() -> None:
    assert row_id(3, 0) < row_id(3, 1) < row_id(3, 2**40 - 1) < row_id(4, 0)
    assert offset_of(row_id(3, 41)) == 41


def test_a_groups_files_stand_beside_the_log() -> None:
    assert group_path(Path("data/herald.db"), "email") == Path("data/herald.email.db")
    assert group_path(Path("data/herald.db"), "sms", "lock") == Path("data/herald.sms.lock")
