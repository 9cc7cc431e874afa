"""A SQLite file of Herald's: how it is opened, whose it is, and what its errors mean.

Every file is in WAL mode (readers and the writer do not wait for each other) and carries an
application id and a schema version (`PRAGMA application_id`, `PRAGMA user_version`).
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from domain.errors import HeraldError, LogUnavailable, StorageBroken, UnknownVersion

# Writers queue at `WriteLock`, so this is only waited out where SQLite itself takes a lock for a
# moment: recovery after a crash, the last one's close.
BUSY_SECONDS = 10.0
# The writer moves the WAL into the file each so many pages of 4 KiB; a peak is cut back afterwards.
_CHECKPOINT_PAGES = 4_000
_WAL_BYTES_KEPT = 64 * 1024 * 1024

_RIGHTS = "check the owner and rights of it, its -wal and -shm, and its folder"
_LAST_FOR_GOOD = {
    "SQLITE_NOTADB": "{path} is not a SQLite file: move it away, or set sqlite.path to another file",
    "SQLITE_CORRUPT": "{path} is damaged: restore it from a backup, or move it away to begin a new one",
    "SQLITE_READONLY": f"{{path}} cannot be written: {_RIGHTS}",
    **dict.fromkeys(("SQLITE_CANTOPEN", "SQLITE_PERM"), f"{{path}} cannot be opened: {_RIGHTS}"),
}
_MAY_PASS = {
    "SQLITE_FULL": "the disk that holds {path} is full: make room on it",
    "SQLITE_IOERR": "the disk that holds {path} failed: check it, and the system's log",
    "SQLITE_BUSY": "{path} is locked by another program: end that program",
    "SQLITE_LOCKED": "{path} is locked by another program: end that program",
    "SQLITE_PROTOCOL": "{path} is locked by another program: end that program",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """What a kind of file holds. `application_id` tells the kinds apart.

    `steps`: for each older version that is still in use, the statements that make the next one of it.
    """

    kind: str
    application_id: int
    version: int
    statements: tuple[str, ...]
    steps: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


def fault(error: sqlite3.Error, path: Path) -> HeraldError:
    """`StorageBroken` where only a person can help, `LogUnavailable` where it may pass by itself."""
    # Without a name it is Python's own; this kind of them is about a text in the file that is none.
    unnamed = "SQLITE_CORRUPT" if isinstance(error, sqlite3.OperationalError) else ""
    name = getattr(error, "sqlite_errorname", None) or unnamed
    kind = "_".join(name.split("_")[:2])
    if kind in _LAST_FOR_GOOD:
        return StorageBroken(_LAST_FOR_GOOD[kind].format(path=path))
    return LogUnavailable(_MAY_PASS.get(kind, f"{{path}} does not answer: {error}").format(path=path))


def not_made_yet(log_path: Path) -> LogUnavailable:
    """Where there is no log. The whole path is named: the folder may be the wrong one."""
    return LogUnavailable(
        f"{log_path.absolute()} is not there yet: start the API, which makes it, or name the right file "
        "with sqlite.path"
    )


def damaged(why: object) -> sqlite3.DatabaseError:
    """As SQLite's own error where it finds a page broken: a row may hold what was never written there."""
    error = sqlite3.DatabaseError(str(why))
    error.sqlite_errorname = "SQLITE_CORRUPT"
    return error


@contextmanager
def faults_of(path: Path) -> Iterator[None]:
    """Turns SQLite's errors into ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise fault(error, path) from error


@contextmanager
def faults_of_opening(path: Path) -> Iterator[None]:
    """As `faults_of`, but a file that cannot even be opened needs a person."""
    try:
        yield
    except sqlite3.Error as error:
        raise StorageBroken(str(fault(error, path))) from error
    except OSError as error:
        raise StorageBroken(
            f"{path} cannot be used ({error.strerror}): mend that, or set sqlite.path to another file"
        ) from error


def open_file(
    path: Path, schema: Schema, lock: AbstractContextManager[object], synchronous: str = "FULL"
) -> sqlite3.Connection:
    """A connection for the calling thread; makes folder, file and tables where they are missing.

    A file of an older Herald is brought up to date. `lock` is held while tables are made. Raises
    `StorageBroken` and `UnknownVersion`.
    """
    with faults_of_opening(path):
        _make_file(path)
        if not os.access(path, os.W_OK):
            raise _not_writable(path)
        _look(path, schema)
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        with faults_of_opening(path):
            _prepare(connection, path, schema, lock)
            _set_up(connection, synchronous)
    except BaseException:
        connection.close()
        raise
    return connection


def open_to_read(path: Path, schema: Schema, least: int | None = None) -> sqlite3.Connection | None:
    """A connection that cannot write, or None if the file is not there or is still empty.

    `least`: the oldest version that has what is looked for; the schema's own where none is given. Raises
    `StorageBroken` (also for a file without write access that nobody has open), `UnknownVersion`, and
    `LogUnavailable` for an older file.
    """
    with faults_of_opening(path):
        if not path.exists():
            return None
        if not (os.access(path, os.W_OK) or _is_open(path)):
            raise _not_writable(path)
        _look(path, schema)
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS, isolation_level=None
        )
    try:
        with faults_of_opening(path):
            version = _version_of(connection, path, schema)
            connection.execute("PRAGMA query_only = ON")
        _expect(path, version, schema.version if least is None else least)
    except BaseException:
        connection.close()
        raise
    if version:
        return connection
    connection.close()
    return None


def _not_writable(path: Path) -> StorageBroken:
    """Said before SQLite leaves a `-wal` and a `-shm` with the same rights, which outlast the mending."""
    return StorageBroken(_LAST_FOR_GOOD["SQLITE_READONLY"].format(path=path))


def _is_open(path: Path) -> bool:
    """Whether another connection has made the `-wal` and `-shm` already: a look then makes nothing."""
    return path.with_name(f"{path.name}-shm").exists()


def _look(path: Path, schema: Schema) -> None:
    """Refuses a `-wal` of another file: the last close, but of one who only reads, puts it into the file."""
    wal = path.with_name(f"{path.name}-wal")
    if wal.exists() and wal.stat().st_size:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as connection:
            _version_of(connection, path, schema)


def _expect(path: Path, version: int, least: int) -> None:
    if 0 < version < least:
        raise LogUnavailable(
            f"{path} is from an older Herald: start its group's consumer, which brings it up to date"
        )


def _make_file(path: Path) -> None:
    """An empty file, for its owner only: it will hold addresses. SQLite's own files beside it follow."""
    made = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        # A file that the folder forgets in a power cut is lost with all its synchronous commits.
        for folder in (path.parent, *(folder.parent for folder in made)):
            _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _prepare(
    connection: sqlite3.Connection, path: Path, schema: Schema, lock: AbstractContextManager[object]
) -> None:
    if _version_of(connection, path, schema) < schema.version:
        with lock:
            _to_wal(connection, path)
            with transaction(connection):
                _bring_up(connection, schema, _version_of(connection, path, schema))
    _to_wal(connection, path)


def _version_of(connection: sqlite3.Connection, path: Path, schema: Schema) -> int:
    """0 for a file that is still empty."""
    tables, owner, version = _marks(connection)
    if (owner, version, tables) == (0, 0, 0):
        return 0
    if owner != schema.application_id:
        raise StorageBroken(
            f"{path} is not a {schema.kind}: move it away, or set sqlite.path to another file"
        )
    if version not in {schema.version, *schema.steps}:
        raise UnknownVersion(
            f"{path} has version {version} and this Herald knows {schema.version}: run a newer Herald"
        )
    return int(version)


def _marks(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Number of tables, application id and version, all of one moment: others may be making the file."""
    with nullcontext() if connection.in_transaction else _snapshot(connection):
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        (owner,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(tables), int(owner), int(version)


@contextmanager
def _snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
    finally:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


def _bring_up(connection: sqlite3.Connection, schema: Schema, version: int) -> None:
    """From `version`, or from nothing, to the schema's own; what the file holds stays."""
    todo = [schema.statements] if not version else [schema.steps[v] for v in range(version, schema.version)]
    for statement in (one for statements in todo for one in statements):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {schema.application_id}")
    connection.execute(f"PRAGMA user_version = {schema.version}")


def _to_wal(connection: sqlite3.Connection, path: Path) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StorageBroken(
            f"{path} is on a file system that SQLite's WAL mode cannot use: take a local disk"
        )


def _set_up(connection: sqlite3.Connection, synchronous: str) -> None:
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    # On macOS a plain fsync leaves the data in the drive's cache.
    connection.execute("PRAGMA fullfsync = ON")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES_KEPT}")


def prove(connection: sqlite3.Connection) -> None:
    """Writes what stands there already: an open file may not let this user write, or its disk be full.

    That is not always the version that opened it: a newer Herald may have brought the file up to date since.
    """
    with transaction(connection):
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        connection.execute(f"PRAGMA user_version = {version}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Committed on leaving, rolled back on an error.

    It begins IMMEDIATE: a transaction that reads before it writes is refused at once where another
    process wrote in between, without any waiting.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
