"""The log on SQLite in a folder of the test's own."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Self

from adapters.file_presence import FilePresence, presence_folder
from adapters.message_json import request_id_of
from adapters.sqlite_archive import SqliteDeadLetterArchive
from adapters.sqlite_backlog import SqliteGroupBacklog
from adapters.sqlite_dead_letters import SqliteDeadLetters
from adapters.sqlite_group import SqliteGroupFile
from adapters.sqlite_lags import SqliteGroupLags
from adapters.sqlite_ledger import SqliteLedger
from adapters.sqlite_log import SqliteLog
from adapters.sqlite_orders import SqliteDiscardOrders
from adapters.sqlite_publisher import SqlitePublisher
from adapters.sqlite_reader import LogReader
from adapters.sqlite_schema import GROUP, group_path, row_id, unpack_headers
from adapters.sqlite_status import SqliteStatusView
from adapters.sqlite_topics import SqliteTopicCatalog
from adapters.system_clock import SystemClock
from domain.dead_letter import DeadLetter
from domain.log import Record, Shard
from domain.outcome import DeadLetterReason
from domain.presence import USUAL_TIMES, PresenceTimes
from tests.contracts.rig import Rig, configured, plan

_LETTERS = """SELECT topic, partition, log_offset, key, value, headers, reason, error, attempts, failed_at
    FROM dead_letters ORDER BY id"""


class _LosesItsFile(SqlitePublisher):
    """A publisher whose log is moved away under it."""

    path: Path

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.path.rename(self.path.with_suffix(".away"))
        return self


class SqliteRig(Rig):
    keeps_retention = False
    topic = "transactions"
    other_topic = "alerts"

    def __init__(self, folder: Path) -> None:
        self.path = folder / "data" / "herald.db"

    async def make_topics(self) -> Self:
        async with self.catalog() as catalog:
            await catalog.create([plan(self.topic), plan(self.other_topic, 1)])
        return self

    def publisher(self) -> SqlitePublisher:
        return SqlitePublisher(self.path, 8)

    def unreachable_publisher(self) -> SqlitePublisher:
        publisher = _LosesItsFile(self.path, 1)
        publisher.path = self.path
        return publisher

    def group_file(self, group: str) -> SqliteGroupFile:
        return SqliteGroupFile(self.path, group)

    def log(self, group: str) -> SqliteLog:
        topics = [self.topic, self.other_topic]
        return SqliteLog(self.group_file(group), topics, poll_seconds=0.005, standby_seconds=0.01)

    def dead_letters(self, group: str) -> SqliteDeadLetters:
        return SqliteDeadLetters(self.group_file(group))

    def unreachable_dead_letters(self, group: str) -> SqliteDeadLetters:
        return _Standby(self.group_file(group), self.group_file(group))

    def archive(self) -> SqliteDeadLetterArchive:
        topics = configured(self.topic, self.other_topic)
        return SqliteDeadLetterArchive(self.path, topics, SystemClock(), request_id_of)

    def unreachable_archive(self) -> SqliteDeadLetterArchive:
        group_path(self.path, "email").write_bytes(b"no file of SQLite's" * 100)
        return self.archive()

    async def kept(self, group: str) -> Sequence[DeadLetter]:
        path = group_path(self.path, group)
        if not path.exists():
            return []
        with closing(sqlite3.connect(path)) as connection:
            return [_letter(group, *row) for row in connection.execute(_LETTERS)]

    async def read_all(self, shard: Shard) -> Sequence[Record]:
        with closing(LogReader(self.path, [shard.topic])) as reader:
            reader.open()
            return reader.look({shard: 0}, 1_000_000).records

    def ledger(self, group: str) -> SqliteLedger:
        return SqliteLedger(self.group_file(group))

    def unreachable_ledger(self, group: str) -> SqliteLedger:
        return _LedgerOfAStandby(self.group_file(group), self.group_file(group))

    async def forget_ledger(self, group: str, shard: Shard, before: int) -> None:
        with closing(sqlite3.connect(group_path(self.path, group), isolation_level=None)) as connection:
            place = (shard.topic, shard.partition, before)
            connection.execute("DELETE FROM ledger WHERE topic = ? AND partition = ? AND position < ?", place)

    def status_view(self) -> SqliteStatusView:
        return SqliteStatusView(self.path, self.configured(), SystemClock())

    def unreachable_status_view(self) -> SqliteStatusView:
        self._make_older()
        return self.status_view()

    def lags(self) -> SqliteGroupLags:
        return SqliteGroupLags(self.path)

    def unreachable_lags(self) -> SqliteGroupLags:
        self.path.rename(self.path.with_suffix(".away"))
        return self.lags()

    def backlog(self) -> SqliteGroupBacklog:
        return SqliteGroupBacklog(self.path)

    def unreachable_backlog(self) -> SqliteGroupBacklog:
        self._make_older()
        return self.backlog()

    def discard_orders(self) -> SqliteDiscardOrders:
        return SqliteDiscardOrders(self.path)

    def unreachable_discard_orders(self) -> SqliteDiscardOrders:
        self.path.rename(self.path.with_suffix(".away"))
        return self.discard_orders()

    def _make_older(self) -> None:
        """An older Herald's file of a group: there is no telling what it has finished."""
        with closing(sqlite3.connect(group_path(self.path, "email"), isolation_level=None)) as connection:
            connection.execute("CREATE TABLE positions (topic TEXT)")
            connection.execute(f"PRAGMA application_id = {GROUP.application_id}")
            connection.execute("PRAGMA user_version = 1")

    async def make_room_for_presence(self) -> None:
        """Nothing has to."""

    def presence(self, times: PresenceTimes = USUAL_TIMES) -> FilePresence:
        return FilePresence(self.path, SystemClock(), times)

    def unreachable_presence(self) -> FilePresence:
        presence_folder(self.path).write_text("a file where the folder should be")
        return self.presence()

    def catalog(self) -> SqliteTopicCatalog:
        return SqliteTopicCatalog(self.path)

    async def forget(self, shard: Shard, before: int) -> None:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            place = (shard.topic, shard.partition)
            query = "SELECT id FROM shards WHERE topic = ? AND partition = ?"
            (number,) = connection.execute(query, place).fetchone()
            span = (row_id(number, 0), row_id(number, before))
            connection.execute("DELETE FROM records WHERE id >= ? AND id < ?", span)


class _Standby(SqliteDeadLetters):
    """Dead letters of a process that stands by while another one is active."""

    def __init__(self, group_file: SqliteGroupFile, active: SqliteGroupFile) -> None:
        super().__init__(group_file)
        self._other = active

    async def __aenter__(self) -> Self:
        await self._other.__aenter__()
        await self._other.take_over()
        return await super().__aenter__()

    async def __aexit__(self, *details: object) -> None:
        await super().__aexit__(*details)
        await self._other.__aexit__(*details)


class _LedgerOfAStandby(SqliteLedger):
    """The ledger of a process that stands by while another one is active."""

    def __init__(self, group_file: SqliteGroupFile, active: SqliteGroupFile) -> None:
        super().__init__(group_file)
        self._other = active

    async def __aenter__(self) -> Self:
        await self._other.__aenter__()
        await self._other.take_over()
        return await super().__aenter__()

    async def __aexit__(self, *details: object) -> None:
        await super().__aexit__(*details)
        await self._other.__aexit__(*details)


def _letter(
    group: str,
    topic: str,
    partition: int,
    offset: int,
    key: bytes | None,
    value: bytes | None,
    headers: bytes | None,
    reason: str,
    error: str,
    attempts: int,
    failed_at: float,
) -> DeadLetter:
    return DeadLetter(
        record=Record(Shard(topic, partition), offset, key, value, unpack_headers(headers), 0.0),
        group=group,
        reason=DeadLetterReason(reason),
        error=error,
        attempts=attempts,
        failed_at=failed_at,
    )
