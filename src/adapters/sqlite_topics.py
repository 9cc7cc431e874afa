"""`TopicCatalog` on SQLite: the topics are rows of the log file."""

import sqlite3
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from pathlib import Path
from typing import Self

from adapters.sqlite_file import faults_of, open_to_read, transaction
from adapters.sqlite_log_file import SqliteLogFile
from adapters.sqlite_schema import LOG
from domain.topic import FoundTopic, TopicPlan


class SqliteTopicCatalog:
    """Topics and their partitions. Replication is only remembered: there is one file.

    Looking makes no file and leaves one of an older Herald as it is: who looks may be another user than who
    runs Herald and has to write there, and the older Herald may still run.
    """

    def __init__(self, path: Path) -> None:
        self._file = SqliteLogFile(path, "topics", makes_it=False, opens_it=False)

    async def find(self, names: AbstractSet[str]) -> Mapping[str, FoundTopic]:
        return await self._file.thread.call(lambda: self._find(names))

    async def create(self, plans: Sequence[TopicPlan]) -> None:
        await self._file.thread.call(lambda: self._create(plans))

    def _find(self, names: AbstractSet[str]) -> dict[str, FoundTopic]:
        query = "SELECT name, partitions, replication_factor FROM topics"
        with faults_of(self._file.path):
            file = open_to_read(self._file.path, LOG, least=1)
            if file is None:
                return {}
            with closing(file):
                rows = file.execute(query).fetchall()
        return {row[0]: _found(*row) for row in rows if row[0] in names}

    def _create(self, plans: Sequence[TopicPlan]) -> None:
        self._file.make()
        connection = self._file.connection()
        with faults_of(self._file.path), self._file.lock, transaction(connection):
            for plan in plans:
                _create(connection, plan)

    async def __aenter__(self) -> Self:
        """Raises `StorageBroken` and `UnknownVersion` where the file cannot be used."""
        await self._file.__aenter__()
        try:
            await self.find(frozenset())
        except BaseException:
            await self._file.__aexit__()
            raise
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._file.__aexit__(*details)


def _create(connection: sqlite3.Connection, plan: TopicPlan) -> None:
    row = (plan.name, plan.partitions, plan.replication_factor or 1)
    made = connection.execute("INSERT OR IGNORE INTO topics VALUES (?, ?, ?)", row)
    # What stands beside a topic is kept in its group's own file: nothing is ever appended to it here.
    if made.rowcount and plan.beside is None:
        shards = [(plan.name, partition) for partition in range(plan.partitions)]
        connection.executemany("INSERT INTO shards (topic, partition) VALUES (?, ?)", shards)


def _found(name: str, partitions: int, replication_factor: int) -> FoundTopic:
    return FoundTopic(
        name=name,
        partitions=partitions,
        replication_factor=replication_factor,
        retention_ms=None,  # `SqliteRetention` takes it from the settings at each start
    )
