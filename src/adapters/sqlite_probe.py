"""Whether the embedded log's files are there, whole and writable; nothing is made or written."""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from adapters.one_off_thread import in_thread
from adapters.sqlite_file import Schema, faults_of, open_to_read
from adapters.sqlite_schema import GROUP, LOG, group_path, row_id
from domain.diagnosis import ClockReading, Finding, Seen, ok, wrong
from domain.errors import HeraldError

_NAME = "log"
_STEPS = 10_000  # of SQLite's machine, between two looks at the time
_MIB = 2**20
_NEWEST = "SELECT time FROM records WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1"


class SqliteProbe:
    """`seconds`: how long each file's pages are looked through; what is larger is looked at in part."""

    def __init__(
        self,
        path: Path,
        groups: Sequence[str],
        *,
        seconds: float = 2.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._groups = tuple(groups)
        self._seconds = seconds
        self._now = now

    async def look(self) -> Seen:
        return await in_thread("log probe", self._look)

    def _look(self) -> Seen:
        if not self._path.exists():
            where = self._path.absolute()
            return Seen((wrong(_NAME, f"no log yet at {where}", "'herald run' or 'herald api' makes it"),))
        findings = list(self._findings())
        return Seen(tuple(findings), self._clocks())

    def _findings(self) -> Iterator[Finding]:
        yield self._file(self._path, LOG, _NAME)
        for group in self._groups:
            path = group_path(self._path, group)
            if path.exists():
                yield self._file(path, GROUP, f"{_NAME} {group}")

    def _file(self, path: Path, schema: Schema, name: str) -> Finding:
        try:
            return self._look_into(path, schema, name)
        except HeraldError as error:
            return wrong(name, str(error))

    def _look_into(self, path: Path, schema: Schema, name: str) -> Finding:
        with faults_of(path):
            # An older one is well, too: the next start brings it up to date.
            file = open_to_read(path, schema, least=1)
            if file is None:
                return wrong(name, f"{path} is empty", "'herald run' or 'herald api' makes its tables")
            with closing(file):
                (mode,) = file.execute("PRAGMA journal_mode").fetchone()
                damage, is_whole = _quick_check(file, self._seconds)
        if damage:
            return wrong(name, f"{path} is damaged: {damage}", "stop Herald, and restore it from a backup")
        if mode != "wal":
            return wrong(
                name, f"{path} is in journal mode {mode}", "stop who set it so; Herald sets WAL again"
            )
        if not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK)):
            remedy = "run as the user Herald runs as, or give that user the file and its folder"
            return wrong(name, f"{path} cannot be written by this user", remedy)
        looked = "whole" if is_whole else f"no damage in the part looked at in {self._seconds:g} s"
        size = f"{path.stat().st_size / _MIB:.1f} MiB"
        return ok(name, f"SQLite {sqlite3.sqlite_version}, {path}, {size}, WAL, {looked}, writable")

    def _clocks(self) -> tuple[ClockReading, ...]:
        """When the newest record was taken: no proof of anything, unless it is yet to come."""
        try:
            with faults_of(self._path):
                newest = _newest(self._path)
        except HeraldError:
            return ()
        if newest is None:
            return ()
        ahead = newest - self._now()
        return (ClockReading(source="the newest record of the log", ahead=ahead, may_lag=True),)


def _quick_check(file: sqlite3.Connection, seconds: float) -> tuple[str, bool]:
    """The first damage that is found, or nothing; and whether all of the file was looked at."""
    end = time.monotonic() + seconds
    file.set_progress_handler(lambda: int(time.monotonic() > end), _STEPS)
    try:
        (said,) = file.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorname", "") != "SQLITE_INTERRUPT":
            raise
        return "", False
    finally:
        file.set_progress_handler(None, _STEPS)
    return ("" if said == "ok" else " ".join(str(said).split())), True


def _newest(path: Path) -> float | None:
    file = open_to_read(path, LOG, least=1)
    if file is None:
        return None
    with closing(file):
        shards = [number for (number,) in file.execute("SELECT id FROM shards")]
        rows = [file.execute(_NEWEST, (row_id(n, 0), row_id(n + 1, 0))).fetchone() for n in shards]
    return max((row[0] for row in rows if row is not None), default=None)
