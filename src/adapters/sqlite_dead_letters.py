"""`DeadLetters` on SQLite: a table in the group's own file."""

from typing import Self

from adapters.sqlite_group import SqliteGroupFile
from adapters.sqlite_schema import pack_headers
from domain.dead_letter import DeadLetter
from domain.errors import LogUnavailable

_KEEP = """INSERT INTO dead_letters
    (topic, partition, log_offset, time, key, value, headers, reason, error, attempts, failed_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""


class SqliteDeadLetters:
    """Written by the group's active process."""

    def __init__(self, group_file: SqliteGroupFile) -> None:
        self._file = group_file

    async def keep(self, letter: DeadLetter) -> None:
        if not await self._file.take_over():
            raise LogUnavailable(f"another process of the group {self._file.group} is the active one")
        await self._file.write(lambda connection: connection.execute(_KEEP, _row(letter)))

    async def __aenter__(self) -> Self:
        await self._file.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._file.__aexit__(*details)


def _row(letter: DeadLetter) -> tuple[object, ...]:
    record = letter.record
    return (
        record.shard.topic,
        record.shard.partition,
        record.offset,
        record.timestamp,
        record.key,
        record.value,
        pack_headers(record.headers),
        letter.reason.value,
        letter.error,
        letter.attempts,
        letter.failed_at,
    )
