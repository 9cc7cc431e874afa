"""`DiscardOrders` on SQLite: rows of the log's file, written by the command and read by the consumers."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from adapters.sqlite_file import damaged, faults_of, not_made_yet, transaction
from adapters.sqlite_log_file import SqliteLogFile
from domain.discard import Discard

_OF_GROUP = """SELECT id, before, upto, given_at, given_by FROM discards WHERE topic = ? AND group_name = ?
    ORDER BY id"""
_GIVE = """INSERT INTO discards (topic, group_name, before, upto, given_at, given_by)
    VALUES (?, ?, ?, ?, ?, ?)"""


class SqliteDiscardOrders:
    """Works whether or not the group's process runs. It makes no file: there is nothing to discard then."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteLogFile(path, "orders", makes_it=False)

    async def give(self, order: Discard) -> None:
        await self._file.thread.call(lambda: self._give(order))

    async def in_force(self, topic: str, group: str) -> Sequence[Discard]:
        return await self._file.thread.call(lambda: self._in_force(topic, group))

    def _give(self, order: Discard) -> None:
        if self._file.is_missing:
            raise not_made_yet(self._file.path)
        self._file.make()
        connection = self._file.connection()
        upto = json.dumps({str(partition): offset for partition, offset in order.upto.items()})
        row = (order.topic, order.group, order.before, upto, order.at, order.by)
        with faults_of(self._file.path), self._file.lock, transaction(connection):
            included = [
                (number,)
                for number, earlier in _orders(connection, order.topic, order.group)
                if order.includes(earlier)
            ]
            connection.executemany("DELETE FROM discards WHERE id = ?", included)
            connection.execute(_GIVE, row)

    def _in_force(self, topic: str, group: str) -> list[Discard]:
        if self._file.is_missing:
            return []
        self._file.make()
        with faults_of(self._file.path):
            return [order for _, order in _orders(self._file.connection(), topic, group)]

    async def __aenter__(self) -> Self:
        """Raises `StorageBroken` and `UnknownVersion` where the file cannot be used."""
        await self._file.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._file.__aexit__(*details)


def _orders(connection: sqlite3.Connection, topic: str, group: str) -> Iterator[tuple[int, Discard]]:
    """Each with its row's number."""
    for number, before, upto, at, by in connection.execute(_OF_GROUP, (topic, group)).fetchall():
        order = Discard(topic=topic, group=group, before=before, upto=_ends(upto), at=at, by=by)
        yield number, order


def _ends(text: Any) -> dict[int, int]:
    try:
        return {int(partition): int(offset) for partition, offset in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise damaged(error) from error
