"""`TopicCatalog` on SQLite: the topics are rows of the log file."""

import sqlite3
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Self

from adapters.sqlite_file import WriteLock, faults_of, open_file, transaction
from adapters.sqlite_schema import LOG
from adapters.sqlite_thread import SqliteThread
from domain.errors import LogUnavailable
from domain.topic import FoundTopic, TopicPlan


class SqliteTopicCatalog:
    """Topics and their partitions. Replication is only remembered: there is one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = WriteLock(path)
        self._thread = SqliteThread("topics")
        self._connection: sqlite3.Connection | None = None

    async def find(self, names: AbstractSet[str]) -> Mapping[str, FoundTopic]:
        return await self._thread.call(lambda: self._find(names))

    async def create(self, plans: Sequence[TopicPlan]) -> None:
        await self._thread.call(lambda: self._create(plans))

    def _find(self, names: AbstractSet[str]) -> dict[str, FoundTopic]:
        query = "SELECT name, partitions, replication_factor FROM topics"
        with faults_of(self._path):
            rows = self._usable().execute(query).fetchall()
        return {row[0]: _found(*row) for row in rows if row[0] in names}

    def _create(self, plans: Sequence[TopicPlan]) -> None:
        connection = self._usable()
        with faults_of(self._path), self._lock, transaction(connection):
            for plan in plans:
                _create(connection, plan)

    def _usable(self) -> sqlite3.Connection:
        if self._connection is None:
            raise LogUnavailable(f"{self._path} is not open")
        return self._connection

    def _open(self) -> None:
        self._connection = open_file(self._path, LOG, self._lock)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._lock.close()

    async def __aenter__(self) -> Self:
        """Raises `StorageBroken` and `UnknownVersion` where the file cannot be used."""
        self._thread.start()
        try:
            await self._thread.call(self._open)
        except BaseException:
            await self._thread.end(self._close)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._thread.end(self._close)


def _create(connection: sqlite3.Connection, plan: TopicPlan) -> None:
    row = (plan.name, plan.partitions, plan.replication_factor or 1)
    made = connection.execute("INSERT OR IGNORE INTO topics VALUES (?, ?, ?)", row)
    if made.rowcount:
        shards = [(plan.name, partition) for partition in range(plan.partitions)]
        connection.executemany("INSERT INTO shards (topic, partition) VALUES (?, ?)", shards)


def _found(name: str, partitions: int, replication_factor: int) -> FoundTopic:
    return FoundTopic(
        name=name,
        partitions=partitions,
        replication_factor=replication_factor,
        retention_ms=None,  # `SqliteRetention` takes it from the settings at each start
    )
